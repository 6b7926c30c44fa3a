// The owner console: sign-in, one shared set of filters, two lists, and a drawer for one trace.

import { Problem, json, sentence } from "./api.js";
import { $, copyButton, fill, h, icon, pageSwitches } from "./dom.js";
import { number, visible, when, zone } from "./format.js";
import * as i18n from "./i18n.js";
import { handoffsTable } from "./owner-handoffs.js";
import { firstRequest, logsTable } from "./owner-logs.js";
import { empty, failure } from "./owner-parts.js";
import { HANDOFFS, RANGES, STATUSES, cleared, narrowed, read, scope, write } from "./owner-state.js";
import { tiles } from "./owner-tiles.js";
import { traceBody, traceHead } from "./owner-trace.js";

const PAGE = 50;
const TRACE_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const ROUTES = ["course_search", "tuition_calculator", "comparison", "create_ticket", "out_of_domain", "docs_search"];

const main = $("#main");
const drawer = $("#drawer");
const leave = $("#leave");

let state = read();
let tenants = [];
let items = [];
let view = null;
let loading = null;
let opening = null;
// Cursors of the pages before the present one, for the way back.
let trail = [];

// --- signing in and out ---

async function boot() {
  try {
    tenants = (await json("/owner/api/tenants")).items ?? [];
  } catch (problem) {
    if (problem.status === 401) signIn();
    else fill(main, failure(problem, boot));
    return;
  }
  leave.hidden = false;
  layOut();
  load();
}

function signIn() {
  loading?.abort();
  opening?.abort();
  view = null;
  leave.hidden = true;
  drawer.close();
  const said = h("div");
  const name = h("input", { id: "username", class: "input", autocomplete: "username", autocapitalize: "none", spellcheck: "false", required: true });
  const word = h("input", { id: "password", class: "input", type: "password", autocomplete: "current-password", required: true });
  const go = h("button", { class: "button primary", i18n: "sign_in" });
  const submit = async (event) => {
    event.preventDefault();
    go.disabled = true;
    said.replaceChildren();
    try {
      await json("/owner/auth/login", { method: "POST", body: { username: name.value, password: word.value } });
      await boot();
    } catch (problem) {
      const what = problem.status === 401 ? "login_refused" : sentence(problem);
      fill(said, h("p", { class: "alert", role: "alert", i18n: what }));
      word.select();
    } finally {
      go.disabled = false;
    }
  };
  fill(
    main,
    h(
      "div",
      { class: "card" },
      h("h1", { i18n: "login_title" }),
      h("p", { i18n: "login_about" }),
      h(
        "form",
        { on: { submit } },
        said,
        h("div", { class: "field" }, h("label", { for: "username", i18n: "username" }), name),
        h("div", { class: "field" }, h("label", { for: "password", i18n: "password" }), word),
        go,
      ),
    ),
  );
  name.focus();
}

leave.addEventListener("click", async () => {
  try {
    await json("/owner/auth/logout", { method: "POST" });
  } catch (problem) {
    if (problem.status !== 401) {
      fill(view.list, failure(problem, () => leave.click()));
      return;
    }
  }
  signIn();
});

// --- the frame ---

function layOut() {
  view = {
    tiles: h("dl", { class: "tiles", label: "metrics" }),
    filters: h("form", { class: "filters", role: "search", label: "filters", on: { submit: (event) => event.preventDefault() } }),
    tabs: h("nav", { class: "tabs", label: "views" }),
    list: h("section", { class: "list", "aria-live": "polite" }),
    count: h("p", { class: "count" }),
    facets: h("p", { class: "facets", label: "facets" }),
    pages: h("nav", { class: "pages", label: "pages" }),
    updated: h("span", { class: "updated" }),
  };
  fill(
    main,
    h("h1", { class: "sr-only", i18n: "owner_console" }),
    view.filters,
    view.tiles,
    h("div", { class: "head" }, view.tabs, view.count),
    view.facets,
    view.list,
    view.pages,
    h("footer", { class: "foot" }, h("span", { i18n: ["times_in", { zone: zone() }] }), h("span", { class: "keys", i18n: "keys_hint" })),
  );
  drawFilters();
}

function drawFilters() {
  const tenant = choice("tenant", "tenant_id", [["", "all_tenants"]], tenants.map((one) => [one.id, one.name]));
  const range = choice("range", "range", RANGES.map((name) => [name, `range_${name}`]));
  const dates = state.range === "custom" ? [date("since"), date("until")] : [];
  const own =
    state.view === "logs"
      ? [
          routeChoice(),
          choice("status", "status", [["", "all_statuses"], ...STATUSES.map((name) => [name, `status_${name}`])]),
          search(),
        ]
      : [choice("status", "handoff", [["", "all_statuses"], ...HANDOFFS.map((name) => [name, `status_${name}`])])];
  const refresh = h("button", { type: "button", class: "quiet", label: "refresh", tip: "refresh", on: { click: () => load() } }, icon("refresh"));
  fill(view.filters, tenant, range, dates, own, h("div", { class: "after" }, refresh, view.updated));
  fill(view.tabs, ["logs", "handoffs"].map(tab));
}

function tab(name) {
  const change = () => go({ ...state, view: name, cursor: "", offset: "", trace: "" });
  return h("button", { type: "button", class: "tab", i18n: `view_${name}`, "aria-current": state.view === name ? "page" : null, on: { click: change } });
}

function labelled(key, control, kind = "") {
  control.id = `filter-${key}`;
  return h("div", { class: `field ${kind}` }, h("label", { for: control.id, i18n: key }), control);
}

function choice(label, field, named, plain = []) {
  const select = h(
    "select",
    { class: "input", on: { change: () => filter(field, select.value) } },
    named.map(([value, key]) => h("option", { value, i18n: key })),
    plain.map(([value, text]) => h("option", { value }, text)),
  );
  select.value = state[field];
  return labelled(label, select);
}

function routeChoice() {
  const seen = new Set([...ROUTES, ...items.map((item) => item.route), state.route].filter(Boolean));
  return choice(
    "route",
    "route",
    [["", "all_routes"], ...[...seen].filter((name) => i18n.has(`route_${name}`)).map((name) => [name, `route_${name}`])],
    [...seen].filter((name) => !i18n.has(`route_${name}`)).map((name) => [name, name]),
  );
}

function date(field) {
  const input = h("input", { class: "input", type: "date", on: { change: () => filter(field, input.value) } });
  input.value = state[field];
  return labelled(field, input);
}

function search() {
  const input = h("input", { class: "input", type: "search", hint: "search_hint", autocomplete: "off", spellcheck: "false", on: { change: () => find(input) } });
  input.value = state.q;
  return labelled("search", input, "search");
}

// A trace id opens its trace; anything else is looked for in questions and answers.
function find(input) {
  const text = input.value.trim();
  if (!TRACE_ID.test(text)) return filter("q", text);
  input.value = state.q;
  open(text.toLowerCase());
}

function filter(field, value) {
  go({ ...state, [field]: value, cursor: "", offset: "" });
}

// --- moving ---

function go(next, how) {
  if (next.cursor === "" && next.offset === "") trail = [];
  const same = next.view === state.view && next.range === state.range;
  state = next;
  write(state, how);
  if (!same) drawFilters();
  load();
}

window.addEventListener("popstate", () => {
  const before = state;
  state = read();
  if (!view) return;
  if (before.trace !== state.trace && JSON.stringify({ ...before, trace: "" }) === JSON.stringify({ ...state, trace: "" })) {
    showTrace();
    return;
  }
  drawFilters();
  load();
});

// --- loading ---

async function load() {
  loading?.abort();
  const mine = new AbortController();
  loading = mine;
  const { signal } = mine;
  view.list.setAttribute("aria-busy", "true");
  try {
    const [figures, list] = await Promise.all([
      json("/owner/api/metrics", { query: scope(state), signal }),
      json(`/owner/api/${state.view}`, { query: listQuery(), signal }),
    ]);
    if (!figures || !list) throw new Problem({ kind: "garbled" });
    fill(view.tiles, tiles(figures));
    items = list.items ?? [];
    if (items.length > 0) drawList(list);
    else fill(view.list, list.complete === false ? null : await whyEmpty(signal));
    if (items.length === 0) fill(view.count);
    drawPages(list);
    drawFacets(signal);
    fill(view.updated, h("span", { i18n: ["updated", { time: when(Date.now() / 1000) }] }));
    if (state.trace) showTrace();
    else drawer.close();
  } catch (problem) {
    if (signal.aborted) return;
    if (problem.status === 401) signIn();
    else fill(view.list, failure(problem, load));
  } finally {
    if (loading === mine) view?.list.setAttribute("aria-busy", "false");
  }
}

function listQuery() {
  const { route, status, q, cursor, offset, handoff } = state;
  if (state.view === "logs") return { ...scope(state), route, status, q, cursor, limit: PAGE };
  return { ...scope(state), status: handoff, offset, limit: PAGE };
}

function drawList(list) {
  fill(view.list, state.view === "logs" ? logsTable(items, open) : handoffsTable(items, tenantName));
  const total = list.total;
  const key = state.view === "logs" ? "rows_total" : "rows_handoffs";
  fill(view.count, typeof total === "number" ? h("span", { i18n: [list.total_is_capped ? "rows_capped" : key, { n: total }] }) : null);
}

/** How many requests have which status and route; a click shows those alone. They come after the rows, and may stay away. */
async function drawFacets(signal) {
  let facets = null;
  if (state.view === "logs") {
    const { route, status, q } = state;
    facets = await json("/owner/api/logs/facets", { query: { ...scope(state), route, status, q }, signal }).catch(() => null);
    if (signal.aborted) return;
  }
  const of = (field) =>
    (facets?.[field] ?? [])
      .filter(({ value }) => value)
      .map(({ value, count }) => {
        const key = `${field}_${value}`;
        const on = state[field] === value;
        const pick = () => {
          filter(field, on ? "" : value);
          drawFilters();
        };
        const name = i18n.has(key) ? h("span", { i18n: key }) : h("bdi", {}, visible(value));
        return h("button", { type: "button", class: "quiet facet", "aria-pressed": String(on), on: { click: pick } }, name, " ", number(count), facets.exact ? null : "+");
      });
  fill(view.facets, of("status"), of("route"));
}

const tenantName = (id) => tenants.find((one) => one.id === id)?.name ?? id;

/** Never any data, none in this range, or filtered out: each needs another way on. */
async function whyEmpty(signal) {
  const any = async (query) => ((await json(`/owner/api/${state.view}`, { query: { ...query, limit: 1 }, signal })).items ?? []).length > 0;
  const clear = () => {
    state = cleared(state);
    drawFilters();
    go(state);
  };
  if (narrowed(state) && (await any(scope({ ...state, tenant_id: "" }))))
    return empty("empty_filtered", "empty_filtered_hint", h("button", { type: "button", class: "button", i18n: "clear_filters", on: { click: clear } }));
  if (state.range !== "all" && (await any({})))
    return empty("empty_range", "empty_range_hint", h("button", { type: "button", class: "button", i18n: "empty_range_show", on: { click: () => go({ ...state, range: "all", since: "", until: "", cursor: "", offset: "" }) } }));
  if (state.view === "handoffs") return empty("empty_never_handoffs", "empty_never_handoffs_hint");
  const command = firstRequest();
  return empty("empty_never", "empty_never_hint", h("div", { class: "command" }, h("pre", { tabindex: "0" }, command), copyButton(command, null, "copy_command")));
}

function drawPages(list) {
  const offset = Number(state.offset) || 0;
  const at = state.view === "logs" ? state.cursor : state.offset;
  const back = () => {
    const before = trail.pop() ?? "";
    const kept = trail;
    state = state.view === "logs" ? { ...state, cursor: before } : { ...state, offset: before };
    write(state);
    trail = kept;
    load();
    top();
  };
  const on = () => {
    trail.push(at);
    go(state.view === "logs" ? { ...state, cursor: list.next } : { ...state, offset: String(offset + items.length) });
    top();
  };
  const button = (label, act) => h("button", { type: "button", class: "button", i18n: label, disabled: !act, on: act ? { click: act } : {} });
  const needed = at || list.next;
  const stopped = list.complete === false;
  const note = stopped && h("p", { class: "stopped", role: "status", i18n: ["searched_until", { time: when(list.searched_until) }] });
  fill(view.pages, needed ? [button(trail.length > 0 ? "newer" : "first_page", at ? back : null), button(stopped ? "search_older" : "older", list.next ? on : null), note] : null);
}

function top() {
  view.list.scrollIntoView({ block: "nearest" });
}

// --- one trace ---

function open(traceId) {
  const replace = drawer.open;
  state = { ...state, trace: traceId };
  write(state, { replace });
  showTrace();
}

function close() {
  if (!state.trace) return;
  const last = state.trace;
  state = { ...state, trace: "" };
  write(state);
  opening?.abort();
  drawer.close();
  main.querySelector(`[data-trace="${CSS.escape(last)}"]`)?.focus();
}

async function showTrace() {
  opening?.abort();
  if (!state.trace) {
    drawer.close();
    return;
  }
  opening = new AbortController();
  const { signal } = opening;
  const at = items.findIndex((item) => item.trace_id === state.trace);
  const neighbour = (step) => (state.view === "logs" && at >= 0 ? items[at + step]?.trace_id : undefined);
  const to = (id) => (id ? () => open(id) : null);
  const body = h("div", { class: "body", tabindex: "-1" }, h("p", { class: "nothing", i18n: "loading" }));
  fill(drawer, traceHead({ previous: to(neighbour(-1)), next: to(neighbour(1)), close }), body);
  if (!drawer.open) drawer.showModal();
  body.focus();
  try {
    const trace = await json(`/owner/api/logs/${encodeURIComponent(state.trace)}`, { signal });
    fill(body, traceBody(trace, tenantName));
  } catch (problem) {
    if (signal.aborted) return;
    if (problem.status === 401) signIn();
    else fill(body, failure(problem, showTrace));
  }
}

drawer.addEventListener("cancel", (event) => {
  event.preventDefault();
  close();
});
drawer.addEventListener("click", (event) => {
  if (event.target === drawer) close();
});

// --- keys ---

document.addEventListener("keydown", (event) => {
  if (!view || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, select, textarea")) return;
  if (event.key === "/" && state.view === "logs" && !drawer.open) {
    event.preventDefault();
    $("#filter-search")?.focus();
  } else if (event.key === "j" || event.key === "k") {
    step(event.key === "j" ? 1 : -1);
  }
});

function step(by) {
  if (state.view !== "logs") return;
  if (drawer.open) {
    const at = items.findIndex((item) => item.trace_id === state.trace);
    if (at >= 0 && items[at + by]) open(items[at + by].trace_id);
    return;
  }
  const openers = [...main.querySelectorAll(".opener")];
  const at = openers.indexOf(document.activeElement);
  openers[at < 0 ? 0 : Math.min(Math.max(at + by, 0), openers.length - 1)]?.focus();
}

// --- starting ---

fill(leave, icon("leave"));
$("#switches").append(...pageSwitches(i18n));
i18n.onLanguage(() => {
  // Numbers and times are written anew; the texts have switched by themselves.
  if (!view) return;
  drawFilters();
  load();
});
i18n.translate();
boot();
