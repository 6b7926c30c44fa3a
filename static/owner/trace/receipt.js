// What kept a request's tenant apart: what was sent, what came back, who the database was, and where the cache looked.

import { h } from "../../dom.js";
import { DASH, number, visible } from "../../format.js";
import { has } from "../../i18n.js";
import { valueName } from "../parts.js";
import { facts, pretty, section } from "./view.js";

const FINE = ["own", "ok", "passed", "allowed"];
const NEITHER = ["not_searched"];

/** The whole receipt, of a request that searched nothing too. */
export function receipt(trace, tools) {
  const { filter, received, admitted, dropped, database, cache, verdict: said } = trace.receipt;
  const about = `verdict_about_${said}`;
  return h(
    "div",
    { class: "receipt" },
    h("p", { class: "line" }, verdict(said), has(about) && h("span", { class: "small", i18n: about })),
    facts([
      ["receipt_received", count(received)],
      ["receipt_admitted", count(admitted)],
      ["receipt_dropped", count(dropped)],
      ["receipt_role", code(database?.role)],
      ["receipt_setting", database ? tenant(database.tenant_setting, tools) : DASH],
      ["cache", cache ? valueName("cache", cache.result) : DASH],
    ]),
    part("filter_sent", filter ? confines(filter, tools) : nothing("filter_none")),
    part("cache_partition", cache?.partition ? partition(cache.partition, tools) : nothing(cache ? "partition_bypass" : "partition_none")),
  );
}

/** A verdict in a word: good, bad, or neither. */
export function verdict(value) {
  if (value === undefined || value === null) return DASH;
  const tone = FINE.includes(value) ? "good" : NEITHER.includes(value) ? "" : "bad";
  const key = `verdict_${value}`;
  return h("span", { class: `badge ${tone}`, ...(has(key) ? { i18n: key } : {}) }, has(key) ? null : visible(value));
}

const part = (title, content) => h("div", {}, h("h4", { i18n: title }), content);
const nothing = (i18n) => h("p", { class: "small", i18n });
const count = (n) => (typeof n === "number" ? number(n) : DASH);
const code = (text) => (text ? h("code", {}, visible(text)) : DASH);
const codes = (list) => list.flatMap((one) => [code(one), " "]);

/** A tenant by its name, with its id. */
function tenant(id, tools) {
  if (!id) return h("span", { class: "badge bad", i18n: "value_none" });
  const name = tools.tenantName(id);
  return [name && name !== id ? [h("bdi", {}, visible(name)), " "] : null, code(id)].flat();
}

const branches = (list) => (list ? (list.length > 0 ? codes(list) : h("span", { i18n: "branches_none" })) : h("span", { i18n: "branches_all" }));

function confines({ tenant_id, branches: some, shared = [], only }, tools) {
  return [facts([["tenant", tenant(tenant_id, tools)], ["branches", branches(some)], shared.length > 0 && ["shared_corpora", codes(shared)]]), only && section("narrowed_by", pretty(only))];
}

function partition({ tenant_id, branches: some, role, shared = [], epoch }, tools) {
  return facts([
    ["tenant", tenant(tenant_id, tools)],
    ["branches", branches(some)],
    ["role", code(role)],
    shared.length > 0 && ["shared_corpora", codes(shared)],
    ["made_with", code(epoch)],
  ]);
}
