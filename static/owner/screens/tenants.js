// The tenants: how each is doing, what it has and costs, and the switch that shuts one out.

import { h } from "../../dom.js";
import { millis, number, percent, visible } from "../../format.js";
import { ask } from "../dialog.js";
import { empty, whyEmpty } from "../empty.js";
import { panel } from "../panel.js";
import { button, idCopy, moment } from "../parts.js";
import { facts, part } from "../pieces.js";
import { screenNamed } from "../screens.js";
import { opener, pager, table } from "../table.js";
import { usd } from "../units.js";

const PAGE = 50;
// Below this many requests a rate says little.
const FEW = 20;

export const dated = false;

export async function load(state, signal, tools) {
  const fetch = (from, more) => tools.get("/tenants", { q: from.find, ...more });
  const list = await fetch(state, { limit: PAGE, cursor: state.cursor });
  const one = panel({ title: "tenant", load: (id, signal) => detail(id, signal, tools) }, tools);
  one.sync();
  const find = h("input", { id: "filter-find", class: "input", type: "search", label: "tenants_find", hint: "tenants_find", autocomplete: "off", spellcheck: "false", maxlength: "200", on: { change: () => tools.go({ find: find.value.trim() }) } });
  find.value = state.find ?? "";
  const count = list.total !== null && h("span", { class: "count spring", role: "status", i18n: ["tenants_n", { n: list.total }] });
  const bar = h("div", { class: "toolbar", data: { filters: "" } }, find, count);
  if (list.items.length === 0) {
    const any = async (from) => (await fetch(from, { limit: 1 })).items.length > 0;
    return [state.find && bar, await whyEmpty({ state: { ...state, range: "all" }, fields: ["find"], any, tools, never: () => empty("empty_tenants", "empty_tenants_hint") })];
  }
  const columns = [
    { key: "tenant", kind: "title", cell: (item) => opener(visible(item.name), item.id, () => one.open(item.id)) },
    { key: "status", cell: (item) => badge(item) },
    { key: "requests_24h", kind: "figure", cell: (item) => number(item.requests_24h) },
    { key: "errors_24h", kind: "figure", cell: (item) => errors(item) },
    { key: "p95_24h", kind: "figure", cell: (item) => millis(item.p95_ms_24h) },
    { key: "documents", kind: "figure", cell: (item) => number(item.documents) },
    { key: "cost_month", kind: "figure", cell: (item) => usd(item.cost_month_usd) },
    { key: "keys", kind: "figure", cell: (item) => number(item.keys) },
    { key: "last_ask", kind: "nowrap", cell: (item) => moment(item.last_ask_at) },
  ];
  const rows = table(columns, list.items, { label: "screen_tenants", open: (item) => one.open(item.id), id: (item) => item.id, failed: (item) => item.status === "suspended" || item.errors_24h > 0 });
  return [bar, h("section", { class: "list" }, rows), pager({ next: list.next && { cursor: list.next }, at: state.cursor, older: "next_page", first: "to_start" }, tools)];
}

const suspended = (item) => item.status === "suspended";

const TONES = { active: "good", suspended: "bad" };

const badge = (item) => h("span", { class: `badge ${TONES[item.status] ?? ""}`, i18n: `tenant_${item.status}` });

// Never a rate without the number that it is of, and none that is of too few.
function errors(item) {
  if (!item.requests_24h) return number(item.errors_24h);
  const rate = percent(item.errors_24h / item.requests_24h);
  return [number(item.errors_24h), " ", h("span", { class: item.requests_24h < FEW ? "few" : "small" }, `(${rate})`)];
}

async function detail(id, signal, tools) {
  const item = await tools.get(`/tenants/${encodeURIComponent(id)}`, {}, signal);
  const link = (screen, key, patch) => h("a", { class: "button", href: tools.link(screen, { tenant_id: item.id, ...patch }), i18n: key });
  return [
    h("div", { class: "summary" }, h("strong", {}, h("bdi", {}, visible(item.name))), badge(item)),
    h("div", { class: "actions" }, link("logs", "tenant_logs", { range: "24h", since: "", until: "" }), link("logs", "tenant_errors", { range: "24h", since: "", until: "", status: "ERROR" }), screenNamed("usage") && link("usage", "tenant_usage", { range: "30d", since: "", until: "" })),
    part(
      "tenant_health",
      [],
      facts(
        ["requests_24h", number(item.requests_24h)],
        ["errors_24h", errors(item)],
        ["p95_24h", millis(item.p95_ms_24h)],
        ["last_ask", moment(item.last_ask_at)],
        ["cost_month", usd(item.cost_month_usd)],
        ["documents", number(item.documents)],
        ["chunks", number(item.chunks)],
        ["keys", number(item.keys)],
      ),
    ),
    part("keys", [], keys(item.api_keys)),
    item.branches.length > 0 && part("branches", [], h("ul", { class: "lines" }, item.branches.map((branch) => h("li", {}, h("bdi", {}, visible(branch.name)), h("span", { class: "spring" }), idCopy(branch.id))))),
    part("trace_ids", [], facts(["tenant_id", idCopy(item.id)], ["tenant_slug", h("code", {}, visible(item.slug))], ["created", moment(item.created_at)])),
    item.status === "archived" ? null : suspended(item)
      ? part("tenant_resume", [], h("p", { class: "small", i18n: "tenant_resume_about" }), button("tenant_resume", () => resume(item, tools, tools.reload)))
      : part("tenant_suspend", [], h("p", { class: "small", i18n: "tenant_suspend_about" }), button("tenant_suspend", () => suspend(item, tools, tools.reload), { kind: "button danger" })),
  ];
}

function keys(list) {
  if (list.length === 0) return h("p", { class: "nothing", i18n: "keys_none" });
  const gone = (key) => key.revoked_at ?? (key.expires_at && new Date(key.expires_at) <= new Date() ? key.expires_at : null);
  const state = (key) => (gone(key) ? [h("span", { class: "badge", i18n: "key_ended" }), " ", moment(gone(key))] : h("span", { class: "badge good", i18n: "key_works" }));
  const columns = [
    { key: "name", kind: "title", cell: (key) => h("bdi", {}, visible(key.name)) },
    { key: "role", cell: (key) => h("code", {}, visible(key.role)) },
    { key: "created", kind: "nowrap", cell: (key) => moment(key.created_at) },
    { key: "status", cell: state },
  ];
  return h("div", { class: "list" }, table(columns, list, { label: "keys" }));
}

async function suspend(item, tools, done) {
  const sent = await ask({
    title: "tenant_suspend",
    go: "tenant_suspend",
    danger: true,
    about: [h("p", {}, h("bdi", {}, visible(item.name))), h("p", { i18n: "tenant_suspend_about" })],
    fields: [{ name: "reason", label: "reason", kind: "long", required: true, minlength: "3", maxlength: "500", help: "reason_help" }],
    send: ({ reason }) => tools.post(`/tenants/${encodeURIComponent(item.id)}/suspend`, { reason: reason ?? "" }),
  });
  if (sent) await done();
}

async function resume(item, tools, done) {
  const sent = await ask({
    title: "tenant_resume",
    go: "tenant_resume",
    about: [h("p", {}, h("bdi", {}, visible(item.name))), h("p", { i18n: "tenant_resume_about" })],
    send: () => tools.post(`/tenants/${encodeURIComponent(item.id)}/resume`, {}),
  });
  if (sent) await done();
}
