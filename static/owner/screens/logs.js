// The list of requests.

import { h } from "../../dom.js";
import { DASH, millis, number, visible } from "../../format.js";
import { whyEmpty } from "../empty.js";
import { isTraceId } from "../palette.js";
import { isError, moment, routeName, statusBadge } from "../parts.js";
import { picked, scope } from "../router.js";
import { opener, pager, table } from "../table.js";

const PAGE = 50;

export const fields = ["tenant_id", "route", "status", "channel", "model", "q"];

export async function load(state, signal, tools) {
  const ask = (from, more) => tools.get("/logs", { ...scope(from), ...picked(from, fields), ...more });
  const list = await ask(state, { limit: PAGE, cursor: state.cursor });
  tools.results(list.items.map((item) => ({ id: item.trace_id, failed: isError(item.status) })));
  const find = h("input", { id: "filter-search", class: "input", type: "search", hint: "search_hint", label: "search", autocomplete: "off", spellcheck: "false" });
  find.value = state.q ?? "";
  find.addEventListener("change", () => {
    const text = find.value.trim();
    if (!isTraceId(text)) return tools.go({ q: text });
    find.value = state.q ?? "";
    tools.openTrace(text.toLowerCase());
  });
  const bar = h("form", { class: "filters", data: { filters: "" }, on: { submit: (event) => event.preventDefault() } }, find);
  if (list.items.length === 0 && list.complete !== false) {
    const any = async (from) => (await ask(from, { limit: 1 })).items.length > 0;
    return [bar, await whyEmpty({ state, fields, any, tools })];
  }
  const columns = [
    { key: "time", kind: "nowrap", cell: (item) => moment(item.ts) },
    { key: "tenant", kind: "nowrap", cell: (item) => h("bdi", {}, visible(item.tenant ?? item.tenant_id)) },
    { key: "question", kind: "wide", cell: (item) => opener(visible(item.question_preview) || DASH, item.trace_id, () => tools.openTrace(item.trace_id)) },
    { key: "route", cell: (item) => routeName(item.route) },
    { key: "status", cell: (item) => statusBadge(item.status) },
    { key: "latency", kind: "figure", cell: (item) => millis(item.latency_ms) },
    { key: "sources_count", kind: "figure", cell: (item) => number(item.sources_count) },
    { key: "channel", cell: (item) => visible(item.channel) },
  ];
  const rows = table(columns, list.items, { open: (item) => tools.openTrace(item.trace_id), id: (item) => item.trace_id, failed: (item) => isError(item.status) });
  return [bar, h("section", { class: "list" }, rows), pager({ next: list.next && { cursor: list.next }, at: state.cursor }, tools)];
}
