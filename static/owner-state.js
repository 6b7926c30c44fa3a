// What the console shows, kept in the address bar: back, reload and a shared link give the same view.

const FIELDS = ["view", "tenant_id", "range", "since", "until", "route", "status", "q", "handoff", "cursor", "offset", "trace"];
const DEFAULTS = { view: "logs", range: "7d" };
const SECONDS = { "1h": 3600, "24h": 86_400, "7d": 604_800, "30d": 2_592_000 };

/** The choices of the time filter, in order. */
export const RANGES = ["1h", "24h", "7d", "30d", "all", "custom"];
/** Every status that a request can end with. */
export const STATUSES = ["SUCCESS", "ERROR", "ABSTAINED", "FAIL_CLOSED", "CANCELLED", "RATE_LIMITED", "OVER_BUDGET"];
/** Every state of a hand-off. */
export const HANDOFFS = ["new", "contacted", "closed"];

/** The state that the address bar holds; unknown values fall back to the defaults. */
export function read() {
  const params = new URLSearchParams(location.search);
  const state = Object.fromEntries(FIELDS.map((name) => [name, params.get(name) ?? DEFAULTS[name] ?? ""]));
  if (!["logs", "handoffs"].includes(state.view)) state.view = DEFAULTS.view;
  if (!RANGES.includes(state.range)) state.range = DEFAULTS.range;
  return state;
}

/** Writes `state` to the address bar, as a new step of the history or in place of the present one. */
export function write(state, { replace = false } = {}) {
  const params = new URLSearchParams();
  for (const name of FIELDS) if (state[name] && state[name] !== DEFAULTS[name]) params.set(name, state[name]);
  const query = params.toString();
  const url = location.pathname + (query ? `?${query}` : "");
  if (replace || url === location.pathname + location.search) history.replaceState(null, "", url);
  else history.pushState(null, "", url);
}

/** Tenant and time as query parameters: epoch seconds for the ranges, dates as they were chosen. */
export function scope(state) {
  const { tenant_id } = state;
  if (state.range === "custom") return { tenant_id, since: state.since, until: state.until };
  if (state.range === "all") return { tenant_id };
  return { tenant_id, since: Math.floor(Date.now() / 1000) - SECONDS[state.range] };
}

/** True when something narrows the rows besides the time. */
export function narrowed(state) {
  const own = state.view === "logs" ? [state.route, state.status, state.q] : [state.handoff];
  return [state.tenant_id, ...own].some(Boolean);
}

/** The same state on the first page, with every filter but the time cleared. */
export function cleared(state) {
  return { ...state, tenant_id: "", route: "", status: "", q: "", handoff: "", cursor: "", offset: "" };
}
