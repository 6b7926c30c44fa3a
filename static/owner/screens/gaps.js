// What the knowledge base lacks: the questions that got no answer, the most asked first, until each has been taken care of.

import { h, icon } from "../../dom.js";
import { DASH, number, percent, visible, when } from "../../format.js";
import { ask } from "../dialog.js";
import { empty, emptyNever, whyEmpty } from "../empty.js";
import { button, moment, valueName } from "../parts.js";
import { said, segments, tenantText } from "../pieces.js";
import { only, scope } from "../router.js";
import { opener, pager, table } from "../table.js";

const PAGE = 50;
// The address says nothing of the usual case, which is what is still open. `why` is not the `reason` of the requests, which goes
// along from screen to screen and knows other values.
const SHOWN = { "": "open", resolved: "resolved", all: "" };
const REASONS = ["no_documents", "below_threshold", "out_of_domain"];
/** What the server leaves out at both ends of a question. */
const AROUND = /^[\s?!.,:;¿¡؟،。、]+|[\s?!.,:;¿¡؟،。、]+$/gu;
const LONGEST_SEARCH = 120;

export async function load(state, signal, tools) {
  const asked = (from) => ({ ...scope(from), reason: REASONS.includes(from.why) ? from.why : "", state: SHOWN[from.state ?? ""] ?? "" });
  const fetch = (from, more) => tools.get("/gaps", { ...asked(from), ...more });
  const list = await fetch(state, { limit: PAGE, cursor: state.cursor });
  const { open, resolved } = list.counts;
  const file = (format) => h("a", { class: "button", href: `/owner/api/gaps/export?${new URLSearchParams({ ...filled(asked(state)), format })}`, download: "" }, icon("download"), format.toUpperCase());
  const bar = h(
    "div",
    { class: "toolbar", data: { filters: "" } },
    segments("status", "state", [["", "gap_open", open], ["resolved", "gap_resolved", resolved], ["all", "all", open + resolved]], state, tools),
    segments("reason", "why", [["", "all"], ...REASONS.map((name) => [name, `gap_${name}`])], state, tools),
    h("span", { class: "spring" }),
    list.items.length > 0 && [file("csv"), file("jsonl")],
  );
  if (list.items.length === 0) return [bar, await none(state, fetch, tools)];
  tools.results(list.items.map((item) => ({ id: item.sample_trace_id, failed: item.state === "open" })));
  const columns = [
    { key: "question", kind: "wide", cell: (item) => words(item, tools) },
    { key: "count", kind: "figure", cell: (item) => h("a", { href: logs(item, tools) }, number(item.count)) },
    { key: "last", kind: "nowrap", cell: (item) => moment(item.last_at) },
    { key: "tenant", cell: (item) => tenantText(item, tools) },
    { key: "best_confidence", kind: "figure", cell: (item) => (item.best_confidence === null ? DASH : percent(item.best_confidence)) },
    { key: "status", cell: (item) => standing(item) },
    { key: "actions", kind: "nowrap", cell: (item) => (item.state === "resolved" ? button("gap_reopen", () => reopen(item, tools), { kind: "link" }) : button("gap_resolve", () => resolve(item, tools))) },
  ];
  return [
    bar,
    h("p", { class: "small" }, h("span", { i18n: "gaps_about" }), !list.complete && [" ", h("span", { i18n: ["gaps_newest", { n: number(list.counted), time: when(list.counted_since) }] })]),
    h("section", { class: "list" }, table(columns, list.items, { label: "screen_gaps", open: (item) => tools.openTrace(item.sample_trace_id), failed: (item) => item.state === "open" })),
    pager({ next: list.next && { cursor: list.next }, at: state.cursor, first: "gaps_first", older: "gaps_more" }, tools),
  ];
}

const filled = (query) => Object.fromEntries(Object.entries(query).filter(([, value]) => value));

/** Why there is nothing: all closed, filtered out, at another time, never a gap, or never a request. */
async function none(state, fetch, tools) {
  const any = async (from) => (await fetch({ ...from, state: "all", cursor: "" }, { limit: 1 })).items.length > 0;
  if (!state.state && (await any(state))) return empty("empty_gaps_closed", "empty_gaps_closed_hint");
  const never = async () => ((await tools.get("/logs", { limit: 1 })).items.length > 0 ? empty("empty_gaps", "empty_gaps_hint") : emptyNever(tools));
  return whyEmpty({ state, fields: ["tenant_id", "why", "state"], any, tools, never });
}

/** The question, why it got no answer, where it was asked, and what the owner noted. */
function words(item, tools) {
  const several = Object.keys(item.reasons).length > 1;
  const reasons = Object.entries(item.reasons).sort((a, b) => b[1] - a[1]).map(([name, count]) => h("span", {}, valueName("gap", name), several && ` ${number(count)}`));
  const branches = item.branches.map(({ id, name }) => h("bdi", { title: id }, visible(name ?? id.slice(0, 8))));
  return [
    opener(visible(item.question) || DASH, item.sample_trace_id, () => tools.openTrace(item.sample_trace_id)),
    h("span", { class: "small below" }, [...reasons, ...branches].flatMap((one, n) => (n > 0 ? [" · ", one] : [one]))),
    item.note && said(item.note, "below"),
  ];
}

function standing(item) {
  if (item.state === "resolved") return h("span", { class: "badge good", i18n: "gap_resolved" });
  if (!item.resolved_at) return h("span", { class: "badge accent", i18n: "gap_open" });
  return [h("span", { class: "badge warn", i18n: "gap_back" }), h("span", { class: "small below", i18n: ["gap_since", { time: when(item.resolved_at, "short") }] })];
}

/** Its requests. What is masked is not to be found by what is shown of it. */
function logs(item, tools) {
  const names = Object.keys(item.reasons);
  const aside = names.includes("out_of_domain");
  const kind = !aside ? { status: "ABSTAINED", route: "" } : names.length === 1 ? { status: "", route: "out_of_domain" } : { status: "", route: "" };
  const text = (item.question ?? "").slice(0, LONGEST_SEARCH).replace(AROUND, "");
  return tools.link("logs", { ...only(), ...kind, channel: "", model: "", tenant_id: item.tenant_id, q: text.includes("**") ? "" : text });
}

async function resolve(item, tools) {
  const sent = await ask({
    title: "gap_resolve_title",
    go: "gap_resolve",
    about: [said(item.question, "text"), h("p", { i18n: "gap_resolve_about" })],
    fields: [{ name: "note", label: "note_optional", kind: "long", value: item.note, maxlength: "2000", help: "gap_resolve_help" }],
    send: ({ note }) => tools.post("/gaps/resolve", { trace_id: item.sample_trace_id, ...(note ? { note } : {}) }),
  });
  if (sent) await tools.reload();
}

async function reopen(item, tools) {
  const sent = await ask({
    title: "gap_reopen",
    go: "gap_reopen",
    about: [said(item.question, "text"), item.note && said(item.note, "small")].filter(Boolean),
    send: () => tools.post("/gaps/reopen", { trace_id: item.sample_trace_id }),
  });
  if (sent) await tools.reload();
}
