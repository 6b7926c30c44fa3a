// Who asks, and the conversation with the server: credential, session id, the stream of one answer.

import { Problem, events, json, send } from "./api.js";

const KEPT = "rag-tower.credential";

/** The tenants of demo mode, or null when the server is not in demo mode. */
export async function demoTenants() {
  try {
    return (await json("/demo"))?.tenants ?? [];
  } catch (problem) {
    if (problem.status === 404) return null;
    throw problem;
  }
}

export class Session {
  #token = null;
  #until = 0;
  #id = null;

  /** `slug` names a demo tenant; null means that the person brings a key. */
  constructor(slug) {
    this.slug = slug;
    if (slug === null) this.#token = sessionStorage.getItem(KEPT);
  }

  get hasKey() {
    return this.slug !== null || this.#token !== null;
  }

  useKey(key) {
    this.#token = key;
    sessionStorage.setItem(KEPT, key);
  }

  forgetKey() {
    this.#token = null;
    sessionStorage.removeItem(KEPT);
  }

  /** Sends with a credential; in demo mode a refused token is renewed once. */
  async #authorised(call) {
    const token = await this.#credential();
    try {
      return await call(token);
    } catch (problem) {
      if (problem.status !== 401 || this.slug === null) throw problem;
      this.#token = null;
      return call(await this.#credential());
    }
  }

  async #credential() {
    if (this.slug === null) {
      if (this.#token === null) throw new Problem({ status: 401 });
      return this.#token;
    }
    if (this.#token === null || Date.now() > this.#until) {
      const grant = await json("/demo/token", { method: "POST", body: { tenant: this.slug } });
      this.#token = grant.token;
      // A little early, so that a token does not run out on its way.
      this.#until = Date.now() + Math.max(grant.expires_in - 30, 5) * 1000;
    }
    return this.#token;
  }

  /** Asks, and yields {event, data} up to and including `end`; every other ending throws. */
  async *ask(question, signal) {
    const body = { question, channel: "web" };
    if (this.#id) body.session_id = this.#id;
    const response = await this.#authorised((token) =>
      send("/query", { method: "POST", body, token, signal, accept: "text/event-stream" }),
    );
    const streams = (response.headers.get("Content-Type") ?? "").startsWith("text/event-stream");
    for await (const { event, data } of streams ? events(response) : whole(response)) {
      if (event === "error") throw new Problem(data);
      if (data.session_id) this.#id = data.session_id;
      yield { event, data };
      if (event === "end") return;
    }
    throw new Problem({ kind: "truncated" });
  }

  async rate(traceId, rating, comment) {
    const body = { trace_id: traceId, rating };
    if (comment) body.comment = comment;
    await this.#authorised((token) => send("/feedback", { method: "POST", body, token }));
  }
}

/** A plain JSON answer, told as the events that it stands for. */
async function* whole(response) {
  const { answer, sources, ...end } = await response.json();
  yield { event: "sources", data: { sources: sources ?? [] } };
  yield { event: "delta", data: { text: answer ?? "" } };
  yield { event: "end", data: end };
}
