// The people who wait for a person: who is new, who was called, and what was agreed.

import { copyButton, fill, h, icon } from "../../dom.js";
import { DASH, number, visible } from "../../format.js";
import { ask, tell } from "../dialog.js";
import { empty, whyEmpty } from "../empty.js";
import { failure } from "../failure.js";
import { panel } from "../panel.js";
import { button, idCopy, moment, statusBadge } from "../parts.js";
import { facts, part, said, segments, tenantText } from "../pieces.js";
import { scope } from "../router.js";
import { opener, pager, table } from "../table.js";
import { span } from "../units.js";

const PAGE = 50;
const ON_BOARD = 20;
const STATES = ["new", "contacted", "closed"];
// Where a ticket may go from where it is.
const NEXT = { new: ["contacted", "closed"], contacted: ["closed"], closed: [] };

export async function load(state, signal, tools) {
  const fetch = (from, more) => tools.get("/handoffs", { ...scope(from), status: from.state, ...more });
  const one = panel({ title: "handoff", load: (id, signal) => detail(id, signal, tools) }, tools);
  const board = state.layout === "board";
  const lists = board
    ? await Promise.all(STATES.map((name) => fetch({ ...state, state: name }, { limit: ON_BOARD })))
    : [await fetch(state, { limit: PAGE, cursor: state.cursor })];
  one.sync();
  const counts = lists[0].counts ?? {};
  const all = STATES.reduce((sum, name) => sum + (counts[name] ?? 0), 0);
  const bar = h(
    "div",
    { class: "toolbar", data: { filters: "" } },
    !board && segments("status", "state", [["", "all", all], ...STATES.map((name) => [name, `status_${name}`, counts[name] ?? 0])], state, tools),
    h("span", { class: "spring" }),
    segments("layout", "layout", [["", "layout_list"], ["board", "layout_board"]], state, tools),
  );
  if (lists.every((list) => list.items.length === 0)) {
    const any = async (from) => (await fetch(from, { limit: 1 })).items.length > 0;
    const fields = board ? ["tenant_id"] : ["tenant_id", "state"];
    return [bar, await whyEmpty({ state, fields, any, tools, never: () => empty("empty_never_handoffs", "empty_never_handoffs_hint") })];
  }
  if (board) return [bar, h("div", { class: "board" }, STATES.map((name, n) => column(name, lists[n], one.open, tools)))];
  const [list] = lists;
  tools.results(list.items.filter((item) => item.trace_id).map((item) => ({ id: item.trace_id, failed: false })));
  const columns = [
    { key: "time", kind: "nowrap", cell: (item) => moment(item.ts) },
    { key: "age", kind: "figure", cell: (item) => waiting(item) },
    { key: "tenant", cell: (item) => tenantText(item, tools) },
    { key: "message", kind: "wide", cell: (item) => opener(visible(item.message) || DASH, item.id, () => one.open(item.id)) },
    { key: "phone", kind: "nowrap", cell: (item) => h("bdi", { dir: "ltr" }, visible(item.phone) || DASH) },
    { key: "status", cell: (item) => statusBadge(item.status) },
    { key: "notes", kind: "figure", cell: (item) => number(item.notes) },
    { key: "trace", kind: "nowrap", cell: (item) => (item.trace_id ? button("open", () => tools.openTrace(item.trace_id), { kind: "link" }) : DASH) },
  ];
  const rows = table(columns, list.items, { label: "screen_handoffs", open: (item) => one.open(item.id), id: (item) => item.id });
  return [bar, h("section", { class: "list" }, rows), pager({ next: list.next && { cursor: list.next }, at: state.cursor }, tools)];
}

// How long somebody has waited; closed tickets wait no more.
function waiting(item) {
  return h("span", { class: item.status === "new" && item.age_s > 86_400 ? "late" : "" }, span(item.age_s));
}

// --- the board ---

function column(name, list, open, tools) {
  const left = (list.counts?.[name] ?? list.total ?? list.items.length) - list.items.length;
  const card = (item) =>
    h(
      "li",
      { class: "ticket" },
      h("p", { class: "small line" }, tenantText(item, tools), h("span", { class: "spring" }), waiting(item)),
      opener(visible(item.message) || DASH, item.id, () => open(item.id)),
      h("p", { class: "small line" }, h("bdi", { dir: "ltr" }, visible(item.phone) || DASH), h("span", { class: "spring" }), NEXT[name].map((to) => button(`move_${to}`, () => move(item, to, tools, tools.reload), { kind: "link" }))),
    );
  return h(
    "section",
    { class: "column" },
    h("h2", {}, h("span", { i18n: `status_${name}` }), " ", h("span", { class: "n" }, number(list.counts?.[name] ?? list.total))),
    list.items.length > 0 ? h("ol", {}, list.items.map(card)) : h("p", { class: "nothing", i18n: "board_empty" }),
    left > 0 && button(["board_more", { n: number(left) }], () => tools.go({ layout: "", state: name }), { kind: "link" }),
  );
}

// --- one ticket ---

async function detail(id, signal, tools) {
  const item = await tools.get(`/handoffs/${encodeURIComponent(id)}`, {}, signal);
  const problems = h("div");
  const note = h("textarea", { id: "handoff-note", class: "input", rows: "2", maxlength: "2000", required: true, hint: "note_hint" });
  const write = async (event) => {
    event.preventDefault();
    fill(problems);
    try {
      await tools.post(`/handoffs/${encodeURIComponent(id)}/notes`, { text: note.value.trim() });
      await tools.reload();
    } catch (problem) {
      fill(problems, failure(problem));
    }
  };
  return [
    h(
      "div",
      { class: "summary" },
      statusBadge(item.status),
      waiting(item),
      h("span", { class: "spring" }),
      (NEXT[item.status] ?? []).map((to, n) => button(`move_${to}`, () => move(item, to, tools, tools.reload), { kind: n === 0 ? "button primary" : "button" })),
    ),
    part("message", [], said(item.message, "text")),
    facts(
      ["phone", h("span", { class: "line" }, h("bdi", { dir: "ltr" }, visible(item.phone) || DASH), item.phone && h("button", { type: "button", id: "reveal", class: "link", i18n: "reveal", on: { click: () => reveal(id, tools) } }))],
      ["tenant", tenantText(item, tools)],
      item.reason && ["reason", visible(item.reason)],
      item.branch_id && ["branch", idCopy(item.branch_id)],
      ["time", moment(item.ts)],
      ["trace", item.trace_id ? button("open", () => tools.openTrace(item.trace_id), { kind: "link" }) : DASH],
      item.session_id && ["session", idCopy(item.session_id)],
      ["ticket_id", idCopy(item.id)],
    ),
    part("history", [], history(item)),
    h("form", { class: "note-form", on: { submit: write } }, h("label", { class: "sr-only", for: "handoff-note", i18n: "note" }), note, problems, h("button", { class: "button", i18n: "note_add" })),
  ];
}

function history(item) {
  const events = [{ ts: item.ts, who: null, from: null, to: "new", made: true }, ...(item.history ?? [])];
  return h(
    "ol",
    { class: "timeline" },
    events.map((event) =>
      h(
        "li",
        {},
        h("p", { class: "line" }, event.made ? h("span", { i18n: "handoff_made" }) : event.to ? [statusBadge(event.from), icon("next"), statusBadge(event.to)] : h("span", { i18n: "note" }), h("span", { class: "spring" }), event.who && h("bdi", {}, visible(event.who)), moment(event.ts)),
        event.note && h("p", { class: "text", dir: "auto" }, visible(event.note)),
      ),
    ),
  );
}

/** Asks for a note and moves the ticket on. Where somebody else was faster, it says so and shows what is there now. */
async function move(item, to, tools, done) {
  let stale = null;
  const moved = await ask({
    title: `move_${to}`,
    go: `move_${to}`,
    about: [said(item.message, "text clamp")],
    fields: [{ name: "note", label: "note_optional", kind: "long", maxlength: "2000" }],
    send: async ({ note }) => {
      try {
        return await tools.post(`/handoffs/${encodeURIComponent(item.id)}/transition`, { from: item.status, to, ...(note ? { note } : {}) });
      } catch (problem) {
        if (problem.status !== 409) throw problem;
        stale = problem;
        return {};
      }
    },
  });
  if (!moved) return;
  await done();
  if (stale) tell({ title: "handoff_stale", content: [h("p", { i18n: "handoff_stale_about" }), h("p", { class: "small" }, visible(stale.detail))] });
  else tools.say(["handoff_moved", {}]);
}

async function reveal(id, tools) {
  const shown = await ask({
    title: "reveal_title",
    go: "reveal",
    about: [h("p", { i18n: "reveal_about" })],
    fields: [{ name: "reason", label: "reason", kind: "long", required: true, minlength: "3", maxlength: "500", help: "reason_help" }],
    send: ({ reason }) => tools.post(`/handoffs/${encodeURIComponent(id)}/reveal`, { reason: reason ?? "" }),
  });
  if (!shown) return;
  tell({
    title: "revealed_title",
    content: [
      facts(["phone", h("span", { id: "revealed" }, shown.phone ? copyButton(shown.phone, visible(shown.phone), "copy_phone") : DASH)], ["message", said(shown.message, "text")]),
      h("p", { class: "small", i18n: "revealed_about" }),
    ],
  });
}
