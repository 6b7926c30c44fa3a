// Everything that the owner did, and every look behind a mask. Rows are added and never changed.

import { h } from "../../dom.js";
import { DASH, visible } from "../../format.js";
import { empty, whyEmpty } from "../empty.js";
import { moment } from "../parts.js";
import { scope } from "../router.js";
import { pager, table } from "../table.js";

const PAGE = 100;

export async function load(state, signal, tools) {
  const fetch = (from, more) => tools.get("/audit", { ...scope(from), action: from.action, who: from.who, ...more });
  const list = await fetch(state, { limit: PAGE, cursor: state.cursor });
  const field = (name) => {
    const input = h("input", { id: `filter-${name}`, class: "input", type: "search", label: `audit_${name}`, hint: `audit_${name}`, autocomplete: "off", spellcheck: "false", on: { change: () => tools.go({ [name]: input.value.trim() }) } });
    input.value = state[name] ?? "";
    return input;
  };
  const bar = h("div", { class: "toolbar", data: { filters: "" } }, field("action"), field("who"));
  if (list.items.length === 0) {
    const any = async (from) => (await fetch(from, { limit: 1 })).items.length > 0;
    return [bar, await whyEmpty({ state, fields: ["tenant_id", "action", "who"], any, tools, never: () => empty("empty_audit", "empty_audit_hint") })];
  }
  const pick = (name, value) => h("button", { type: "button", class: "link", on: { click: () => tools.go({ [name]: value }) } }, h("code", {}, visible(value)));
  const columns = [
    { key: "time", kind: "nowrap", cell: (row) => moment(row.ts) },
    { key: "audit_who", cell: (row) => pick("who", row.who) },
    { key: "audit_action", kind: "title", cell: (row) => pick("action", row.action) },
    { key: "audit_target", cell: (row) => (row.target ? h("code", {}, visible(row.target)) : DASH) },
    { key: "detail", cell: (row) => detail(row.detail) },
    { key: "audit_client", kind: "nowrap", cell: (row) => (row.client ? h("code", {}, visible(row.client)) : DASH) },
  ];
  return [bar, h("section", { class: "list" }, table(columns, list.items, { label: "screen_audit" })), pager({ next: list.next && { cursor: list.next }, at: state.cursor }, tools)];
}

/** The detail of an action: names and values, as they were written down. */
function detail(value) {
  const entries = value && typeof value === "object" ? Object.entries(value) : [];
  if (entries.length === 0) return DASH;
  return h("ul", { class: "pairs" }, entries.map(([name, one]) => h("li", {}, h("code", {}, visible(name)), " ", h("bdi", {}, visible(typeof one === "string" ? one : JSON.stringify(one))))));
}
