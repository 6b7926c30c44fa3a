// What the console shows, kept in the address bar: back, reload and a shared link give the same view.
//
// The state is a plain object of strings: `screen`, the shared filter (SHARED, the same on every screen), and
// whatever else a screen puts there (`cursor`, `tab`, `columns`…), which ends with the screen.

/** The filter that goes with the reader from screen to screen. */
export const SHARED = [
  "tenant_id", "range", "since", "until", "route", "status", "channel", "model", "q", "reason", "feedback", "handoff", "cache",
  "min_ms", "max_ms", "min_cost", "max_cost", "min_tokens", "max_tokens",
];
/** What figures can be narrowed to, besides tenant and time. */
export const DIMENSIONS = ["route", "status", "channel", "model"];
const KEPT = ["tenant_id", "range", "since", "until", ...DIMENSIONS];
/** What opens above a screen and leaves it as it is. */
const ABOVE = ["trace", "tab", "item"];
const DEFAULTS = { screen: "overview", range: "7d" };
const SECONDS = { "1h": 3600, "6h": 21_600, "24h": 86_400, "7d": 604_800, "30d": 2_592_000 };
const DATE = /^\d{4}-\d{2}-\d{2}$/;

/** The choices of time, in order. */
export const RANGES = [...Object.keys(SECONDS), "all", "custom"];
/** Every status that a request can end with. */
export const STATUSES = ["SUCCESS", "ERROR", "ABSTAINED", "FAIL_CLOSED", "CANCELLED", "RATE_LIMITED", "OVER_BUDGET"];

/** The state that an address holds. */
export function read(search = location.search) {
  const state = { ...DEFAULTS };
  for (const [name, value] of new URLSearchParams(search)) if (value) state[name] = value;
  if (!RANGES.includes(state.range)) state.range = DEFAULTS.range;
  return state;
}

/** The address of a state. */
export function href(state) {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(state))
    if (value !== undefined && value !== null && value !== "" && value !== DEFAULTS[name]) params.set(name, value);
  const query = params.toString();
  return `/owner${query ? `?${query}` : ""}`;
}

/** A state with a change: on the first page, unless the change says which. */
export function changed(state, patch) {
  return { ...state, cursor: "", offset: "", ...patch };
}

/** The state of another screen with the same filter, and a change to it. */
export function elsewhere(state, screen, patch = {}) {
  const shared = Object.fromEntries(SHARED.filter((name) => state[name]).map((name) => [name, state[name]]));
  return { ...shared, screen, ...patch };
}

/** True when the two differ in nothing but what lies above the screen. */
export function sameBelow(one, other) {
  // On the page of a trace, only its tab lies above.
  const below = (state) => href({ ...state, ...Object.fromEntries(ABOVE.map((name) => [name, name === "trace" && state.screen === "trace" ? state.trace : ""])) });
  return below(one) === below(other);
}

/** Makes a state the present one: a new step of the history, or in place of the last. */
export function write(state, { replace = false } = {}) {
  const url = href(state);
  if (replace || url === location.pathname + location.search) history.replaceState(null, "", url);
  else history.pushState(null, "", url);
}

/** Tenant and time as query parameters. `closed` gives the range an end, which comparing with the time before needs. */
export function scope(state, { closed = false } = {}) {
  const { tenant_id } = state;
  if (state.range === "custom") return { tenant_id, since: state.since, until: state.until };
  if (state.range === "all") return { tenant_id };
  const now = Math.floor(Date.now() / 1000);
  return { tenant_id, since: now - SECONDS[state.range], ...(closed ? { until: now } : {}) };
}

/** A change that leaves of the shared filter what figures know alone, and adds to it. */
export const only = (patch = {}) => ({ ...Object.fromEntries(SHARED.filter((name) => !KEPT.includes(name)).map((name) => [name, ""])), ...patch });

/** The fields of `names` that a state has. */
export const picked = (state, names) => Object.fromEntries(names.filter((name) => state[name]).map((name) => [name, state[name]]));

/** True for `2026-01-31`, false for a moment. */
export const isDate = (text) => DATE.test(text ?? "");
