// The requests: what there is of which kind beside a list of them, narrowed, searched, followed, exported.

import { fill, h, icon } from "../../dom.js";
import { number, visible, when } from "../../format.js";
import { whyEmpty } from "../empty.js";
import { columnChooser, columnsOf, shownColumns } from "../logs/columns.js";
import { chips, facetColumn } from "../logs/facets.js";
import { Live, whyNotLive } from "../logs/live.js";
import { viewsMenu } from "../logs/views.js";
import { menu } from "../menu.js";
import { isTraceId } from "../palette.js";
import { isError } from "../parts.js";
import { SHARED, picked, scope } from "../router.js";
import { pager, row, table } from "../table.js";

const PAGE = 50;
const MOST_ROWS = 400;
/** The filter besides the time. */
const FILTER = SHARED.filter((name) => !["range", "since", "until"].includes(name));

export const fields = FILTER;

export async function load(state, signal, tools) {
  const since = scope(state);
  const filter = { ...picked(state, FILTER), ...since };
  const live = state.live && !whyNotLive(state) ? new Live(state, signal) : null;
  const [list, facets] = await Promise.all([
    tools.get("/logs", { ...filter, limit: PAGE, cursor: state.cursor }),
    tools.get("/logs/facets", filter).catch((problem) => {
      if (problem.name === "AbortError") throw problem;
      return null;
    }),
  ]);
  const all = columnsOf(tools);
  const shown = shownColumns(state, all);
  const columns = shown.map((name) => all[name]);
  const seen = list.items.map((item) => ({ id: item.trace_id, failed: isError(item.status) }));
  tools.results(seen);

  const rowOptions = { open: (item) => tools.openTrace(item.trace_id), failed: (item) => isError(item.status) };
  const rows = table(columns, list.items, { ...rowOptions, label: "screen_logs", kind: "log-rows" });
  const body = rows.tBodies[0];
  const known = new Set(seen.map(({ id }) => id));
  const holder = h("div", { class: "log-list" });
  const nothing = list.items.length === 0 && list.complete !== false;
  const showRows = () => fill(holder, h("section", { class: "list" }, rows), h("div", {}, pages(list, state, tools)));
  if (nothing) fill(holder, await none(state, tools));
  else showRows();
  live?.show((item) => {
    if (known.has(item.trace_id)) return;
    known.add(item.trace_id);
    seen.unshift({ id: item.trace_id, failed: isError(item.status) });
    const line = row(columns, item, rowOptions);
    line.classList.add("fresh");
    body.prepend(line);
    if (body.rows.length > MOST_ROWS) body.rows[body.rows.length - 1].remove();
    if (!rows.isConnected && holder.firstChild) showRows();
  });
  if (live && nothing) showRows();

  const facetBox = h("details", { class: "facet-box" }, h("summary", { class: "button" }, icon("filter"), h("span", { i18n: "filters" })), facetColumn(facets, state, tools));
  facetBox.open = matchMedia("(min-width: 62rem)").matches || kept.open;
  facetBox.addEventListener("toggle", () => (kept.open = facetBox.open));
  return h("div", { class: "logs" }, bar({ list, facets, filter, shown, all, live }, state, tools), chips(FILTER, state, tools), h("div", { class: "log-body" }, facetBox, holder));
}

// Whether the filters lie open on a small screen: of no meaning to anybody else, so it is not in the address.
const kept = { open: false };

function bar({ list, facets, filter, shown, all, live }, state, tools) {
  const total = list.total ?? (state.q ? null : facets?.total);
  const capped = list.total_is_capped && typeof list.total === "number" && !(facets?.exact && !state.q);
  const many = capped ? ["rows_capped", { n: list.total }] : typeof total === "number" ? ["rows_total", { n: facets?.exact && !state.q ? facets.total : total }] : null;
  const refused = whyNotLive(state);
  const follow = h("button", { type: "button", id: "live", class: state.live ? "button on" : "button", "aria-pressed": String(Boolean(state.live)), disabled: Boolean(refused) && !state.live, tip: refused ?? "live_tip", on: { click: () => tools.page({ live: state.live ? "" : "1", cursor: "" }) } }, icon("play"), h("span", { class: "menu-label", i18n: "live" }));
  return h(
    "div",
    { class: "filters log-bar" },
    search(state, tools),
    menu({ name: "bookmark", label: "views" }, (close) => viewsMenu(state, tools, close)),
    menu({ name: "columns", label: "columns", kind: "columns-box" }, () => columnChooser(shown, all, tools)),
    menu({ name: "download", label: "export" }, (close) => exports(filter, shown, all, close)),
    follow,
    live?.control,
    h("span", { class: "count spring", role: "status" }, many && h("span", { i18n: many })),
  );
}

/** A trace id opens its trace; anything else is looked for in questions and answers. */
function search(state, tools) {
  const input = h("input", { id: "filter-search", class: "input", type: "search", hint: "search_hint", label: "search", autocomplete: "off", spellcheck: "false", maxlength: "200" });
  input.value = state.q ?? "";
  input.addEventListener("change", () => {
    const text = input.value.trim();
    if (!isTraceId(text)) return tools.go({ q: text });
    input.value = state.q ?? "";
    tools.openTrace(text.toLowerCase());
  });
  return h("form", { class: "search", role: "search", on: { submit: (event) => event.preventDefault() } }, input);
}

/** Exactly the filter of the list and its columns. */
function exports(filter, shown, all, close) {
  const link = (format) => {
    const query = new URLSearchParams({ format, columns: shown.map((name) => all[name].field).join(",") });
    for (const [name, value] of Object.entries(filter)) if (value !== undefined && value !== "") query.set(name, value);
    return h("li", {}, h("a", { class: "menu-item", href: `/owner/api/logs/export?${query}`, download: "", data: { format }, on: { click: close } }, h("span", { i18n: `export_${format}` })));
  };
  return [h("p", { class: "small", i18n: "export_about" }), h("ul", {}, ["csv", "jsonl"].map(link))];
}

function pages(list, state, tools) {
  const stopped = list.complete === false;
  const note = stopped && h("p", { class: "small", role: "status", i18n: ["searched_until", { time: visible(when(list.searched_until)) }] });
  return pager({ next: list.next && { cursor: list.next }, at: state.cursor, older: stopped ? "search_older" : "older", note }, tools);
}

function none(state, tools) {
  const any = async (from) => (await tools.get("/logs", { ...scope(from), ...picked(from, FILTER), limit: 1 })).items.length > 0;
  return whyEmpty({ state, fields: FILTER, any, tools });
}
