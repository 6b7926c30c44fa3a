// One request on a page of its own. Next and previous walk over the list that it was opened from.

import { h, icon } from "../../dom.js";
import { empty } from "../empty.js";
import { traceView } from "../trace/view.js";

export const dated = false;

export async function load(state, signal, tools) {
  if (!state.trace) return empty("trace_none", "trace_none_hint");
  const view = await traceView(state.trace, state.tab ?? "", signal, tools);
  const rows = tools.rows();
  const at = rows.findIndex((row) => row.id === state.trace);
  const link = (name, label, row, go) => row && h("a", { class: "quiet", href: tools.link("trace", { trace: row.id }), label, tip: label, data: { go } }, icon(name));
  return h(
    "article",
    { class: "trace-page" },
    h(
      "nav",
      { class: "actions", label: "pages" },
      h("a", { class: "quiet", href: tools.link("logs") }, icon("previous"), h("span", { i18n: "screen_logs" })),
      h("span", { class: "spring" }),
      at >= 0 && h("span", { class: "small", i18n: ["trace_of", { n: at + 1, all: rows.length }] }),
      link("previous", "previous_trace", rows[at - 1], "previous"),
      at >= 0 && link("next", "next_trace", rows[at + 1], "next"),
    ),
    view.nodes,
  );
}
