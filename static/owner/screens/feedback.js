// What people said about their answers, one after the other, until each has been looked at.

import { h, icon } from "../../dom.js";
import { DASH, visible } from "../../format.js";
import { ask } from "../dialog.js";
import { empty, whyEmpty } from "../empty.js";
import { button, moment, routeName } from "../parts.js";
import { said, segments, tenantText } from "../pieces.js";
import { scope } from "../router.js";
import { opener, pager, table } from "../table.js";

const PAGE = 50;
// The address says nothing of the usual case, which is what waits.
const SHOWN = { "": "open", done: "done", all: "" };

export async function load(state, signal, tools) {
  const fetch = (from, more) => tools.get("/feedback", { ...scope(from), rating: from.rating, state: SHOWN[from.state ?? ""] ?? "", ...more });
  const list = await fetch(state, { limit: PAGE, cursor: state.cursor });
  const bar = h(
    "div",
    { class: "toolbar", data: { filters: "" } },
    segments("status", "state", [["", "review_open"], ["done", "review_done"], ["all", "all"]], state, tools),
    segments("rating", "rating", [["", "all"], ["down", "not_helpful"], ["up", "helpful"]], state, tools),
  );
  if (list.items.length === 0) {
    if (!state.state && !state.rating && !state.tenant_id && (await fetch({ ...state, state: "all" }, { limit: 1 })).items.length > 0) return [bar, empty("empty_reviewed", "empty_reviewed_hint")];
    const any = async (from) => (await fetch({ ...from, state: "all" }, { limit: 1 })).items.length > 0;
    return [bar, await whyEmpty({ state, fields: ["tenant_id", "rating", "state"], any, tools, never: () => empty("empty_feedback", "empty_feedback_hint") })];
  }
  tools.results(list.items.map((item) => ({ id: item.trace_id, failed: !liked(item) })));
  const columns = [
    { key: "time", kind: "nowrap", cell: (item) => moment(item.ts) },
    { key: "rating", cell: (item) => thumb(item) },
    { key: "question", kind: "wide", cell: (item) => words(item, tools) },
    { key: "tenant", cell: (item) => tenantText(item, tools) },
    { key: "route", cell: (item) => routeName(item.route) },
    { key: "status", cell: (item) => reviewed(item) },
    { key: "actions", kind: "nowrap", cell: (item) => (item.state === "done" ? button("review_reopen", () => review(item, "open", tools), { kind: "link" }) : button("review", () => review(item, "done", tools))) },
  ];
  return [
    bar,
    h("section", { class: "list" }, table(columns, list.items, { label: "screen_feedback", open: (item) => tools.openTrace(item.trace_id), id: (item) => item.trace_id, failed: (item) => !liked(item) })),
    pager({ next: list.next && { cursor: list.next }, at: state.cursor }, tools),
  ];
}

const liked = (item) => item.rating === "up";

function thumb({ rating }) {
  return h("span", { class: `thumb ${rating}` }, icon(rating), h("span", { class: "sr-only", i18n: rating === "up" ? "helpful" : "not_helpful" }));
}

/** What was said about it, above what it was said about. */
function words(item, tools) {
  return [
    item.comment && said(item.comment, "comment"),
    opener(visible(item.question_preview) || DASH, item.trace_id, () => tools.openTrace(item.trace_id)),
    item.answer_preview && said(item.answer_preview, "small clamp"),
  ];
}

function reviewed(item) {
  if (item.state !== "done") return h("span", { class: "badge accent", i18n: "review_open" });
  return [h("span", { class: "badge good", i18n: "review_done" }), item.note && said(item.note, "small below")];
}

async function review(item, to, tools) {
  const sent = await ask({
    title: to === "done" ? "review_title" : "review_reopen",
    go: to === "done" ? "review_go" : "review_reopen",
    about: [item.comment && said(item.comment, "text"), said(item.question_preview, "small clamp")].filter(Boolean),
    fields: [{ name: "note", label: "note_optional", kind: "long", value: item.note, maxlength: "2000", help: to === "done" ? "review_help" : null }],
    send: ({ note }) => tools.post(`/feedback/${encodeURIComponent(item.id)}/review`, { state: to, ...(note ? { note } : {}) }),
  });
  if (sent) await tools.reload();
}
