// Requests, problem+json errors, and server-sent events read from a fetch body.

/** A failure with what the server said about it. `kind` is "network" or "truncated" for our own. */
export class Problem extends Error {
  constructor({ title, detail, status = 0, kind = "", trace_id = null, request_id = null } = {}, retryAfter = null) {
    super(detail || title || kind || `HTTP ${status}`);
    this.title = title ?? "";
    this.detail = detail ?? "";
    this.status = status;
    this.kind = kind;
    this.traceId = trace_id;
    this.requestId = request_id;
    this.retryAfter = retryAfter;
  }
}

/** Sends a request and gives the response, or throws a Problem (an abort passes through as it is). */
export async function send(path, { method = "GET", body, token, accept = "application/json", signal, query } = {}) {
  const url = new URL(path, location.origin);
  for (const [name, value] of Object.entries(query ?? {}))
    if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, value);
  const headers = { Accept: accept };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (token) headers.Authorization = `Bearer ${token}`;
  let response;
  try {
    response = await fetch(url, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
      cache: "no-store",
      redirect: "error",
    });
  } catch (cause) {
    if (cause.name === "AbortError") throw cause;
    throw new Problem({ kind: "network" });
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

/** Like `send`, and reads the JSON body; null when there is none. */
export async function json(path, options) {
  const response = await send(path, options);
  if (response.status === 204) return null;
  const text = await response.text();
  if (text === "") return null;
  try {
    return JSON.parse(text);
  } catch {
    throw new Problem({ kind: "garbled", status: response.status });
  }
}

async function problemOf(response) {
  const seconds = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  let body = {};
  try {
    const parsed = await response.json();
    if (parsed && typeof parsed === "object") body = parsed;
  } catch {
    // Not JSON: the status speaks for itself.
  }
  return new Problem({ request_id: response.headers.get("X-Request-Id"), ...body, status: response.status }, Number.isFinite(seconds) ? seconds : null);
}

/** Server-sent events of a response body as {event, data}, data parsed as JSON. */
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let event = "message";
  let data = [];
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      rest += value;
      // A CR at the very end may be half of a CRLF: keep it for the next piece.
      const held = rest.endsWith("\r") ? 1 : 0;
      const lines = rest.slice(0, rest.length - held).split(/\r\n|\n|\r/);
      rest = lines.pop() + (held ? "\r" : "");
      for (const line of lines) {
        if (line === "") {
          if (data.length) yield { event, data: parse(data.join("\n")) };
          event = "message";
          data = [];
          continue;
        }
        if (line.startsWith(":")) continue;
        const colon = line.indexOf(":");
        const field = colon < 0 ? line : line.slice(0, colon);
        const text = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
        if (field === "event") event = text;
        else if (field === "data") data.push(text);
      }
    }
  } catch (cause) {
    if (cause.name === "AbortError" || cause instanceof Problem) throw cause;
    throw new Problem({ kind: "truncated" });
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Problem({ kind: "garbled" });
  }
}

/** The catalogue key and arguments of a sentence that tells a person what went wrong. */
export function sentence(problem) {
  if (problem.kind === "network") return ["error_network", {}];
  if (problem.kind === "truncated") return ["error_truncated", {}];
  if (problem.status === 429)
    return problem.retryAfter ? ["error_429_after", { n: problem.retryAfter }] : ["error_429", {}];
  if ([400, 401, 402, 403, 404, 409, 413, 422].includes(problem.status)) return [`error_${problem.status}`, {}];
  if (problem.status >= 500) return ["error_5xx", {}];
  return ["error_other", {}];
}
