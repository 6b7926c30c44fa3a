// What the server watches by itself, and whom it tells.

import { fill, h } from "../../dom.js";
import { DASH, millis, number, percent, visible } from "../../format.js";
import { t } from "../../i18n.js";
import { ask } from "../dialog.js";
import { empty } from "../empty.js";
import { failure } from "../failure.js";
import { panel } from "../panel.js";
import { button, moment, routeName } from "../parts.js";
import { facts, part, tenantText, verdict } from "../pieces.js";
import { opener, table } from "../table.js";
import { usd } from "../units.js";

const EVENTS = 20;
const TONES = { ok: "good", firing: "bad", resolved: "good", tested: "accent" };
// What each metric is counted in. Rates are written and typed in per cent, and travel as fractions.
const RATES = ["error_rate", "abstain_rate", "satisfaction"];
const METRICS = ["error_rate", "fail_closed", "p95_ms", "ttft_p95_ms", "abstain_rate", "satisfaction", "cost_usd", "requests", "handoffs_open"];

export const dated = false;

export async function load(state, signal, tools) {
  const list = await tools.get("/alerts");
  const one = panel({ title: "alert", load: (id, signal) => detail(id, signal, tools) }, tools);
  one.sync();
  const bar = h("div", { class: "toolbar" }, h("p", { class: "small", i18n: "alerts_about" }), h("span", { class: "spring" }), button("alert_add", () => edit(null, tools, tools.reload), { kind: "button primary", id: "alert-add" }));
  if (list.items.length === 0) return [bar, empty("empty_alerts", "empty_alerts_hint")];
  const columns = [
    { key: "name", kind: "title", cell: (item) => opener(visible(item.name), item.id, () => one.open(item.id)) },
    { key: "alert_rule", cell: (item) => rule(item) },
    { key: "alert_scope", cell: (item) => whose(item, tools) },
    { key: "status", cell: (item) => badge(item) },
    { key: "alert_since", kind: "nowrap", cell: (item) => moment(item.since) },
    { key: "alert_value", kind: "figure", cell: (item) => amount(item.metric, item.last_value) },
    { key: "delivery", cell: (item) => delivery(item.last_delivery) },
  ];
  const rows = table(columns, list.items, { label: "screen_alerts", open: (item) => one.open(item.id), id: (item) => item.id, failed: (item) => item.enabled && item.state === "firing" });
  return [bar, h("section", { class: "list" }, rows)];
}

const toned = (state) => h("span", { class: `badge ${TONES[state] ?? ""}`, i18n: `alert_${state}` });

const badge = (item) => toned(item.enabled ? item.state : "off");

/** A value of a metric as people write it. */
function amount(metric, value) {
  if (value === null || value === undefined) return DASH;
  if (RATES.includes(metric)) return percent(value);
  if (metric.endsWith("_ms")) return millis(value);
  return metric === "cost_usd" ? usd(value) : number(value);
}

function rule(item) {
  return h("span", { i18n: [`rule_${item.comparison}`, { metric: t(`metric_${item.metric}`), value: amount(item.metric, item.threshold), n: number(item.window_min) }] });
}

function whose(item, tools) {
  const tenant = item.tenant_id ? tenantText(item, tools) : h("span", { i18n: "all_tenants" });
  return item.route ? [tenant, " · ", routeName(item.route)] : tenant;
}

function delivery(last) {
  if (!last) return DASH;
  const said = last.ok ? null : (last.error ?? last.status);
  return h("span", { class: "line", title: said ? visible(said) : null }, verdict(last.ok, "delivered", "not_delivered"));
}

// --- one alert ---

async function detail(id, signal, tools) {
  const path = `/alerts/${encodeURIComponent(id)}`;
  const [list, events] = await Promise.all([tools.get("/alerts", {}, signal), tools.get(`${path}/events`, { limit: EVENTS }, signal)]);
  const item = list.items.find((one) => String(one.id) === id);
  if (!item) return empty("alert_gone", "alert_gone_hint");
  const told = h("div", { role: "status" });
  const fire = button(
    "alert_test",
    async () => {
      fire.disabled = true;
      fill(told, h("p", { class: "small", i18n: "loading" }));
      try {
        const answer = await tools.post(`${path}/test`);
        fill(told, h("p", { class: "line" }, verdict(answer.ok, "delivered", "not_delivered"), answer.status && h("code", {}, visible(answer.status)), answer.error && h("span", { class: "small" }, visible(answer.error))));
        tools.reload();
      } catch (problem) {
        fill(told, failure(problem));
      } finally {
        fire.disabled = false;
      }
    },
    { disabled: !item.webhook },
  );
  return [
    h("div", { class: "summary" }, h("strong", {}, h("bdi", {}, visible(item.name))), badge(item)),
    h("div", { class: "actions" }, button("alert_edit", () => edit(item, tools, tools.reload), { kind: "button primary" }), fire, button("remove", () => removeAlert(item, tools), { kind: "button danger" })),
    told,
    part(
      "alert_rule",
      [],
      h("p", {}, rule(item)),
      facts(
        ["alert_scope", whose(item, tools)],
        ["min_requests", number(item.min_requests)],
        ["alert_value", amount(item.metric, item.last_value)],
        ["alert_since", moment(item.since)],
        ["webhook", item.webhook ? h("code", {}, visible(item.webhook)) : DASH],
        item.last_delivery && ["delivery", verdict(item.last_delivery.ok, "delivered", "not_delivered"), " ", moment(item.last_delivery.ts), item.last_delivery.error && h("p", { class: "small" }, visible(item.last_delivery.error))],
      ),
    ),
    part("alert_events", [], eventList(item, events)),
  ];
}

function eventList(item, events) {
  if (events.items.length === 0) return h("p", { class: "nothing", i18n: "alert_events_none" });
  return h(
    "ol",
    { class: "timeline" },
    events.items.map((event) =>
      h(
        "li",
        {},
        h("p", { class: "line" }, toned(event.kind === "test" ? "tested" : event.kind), h("span", { class: "figure" }, amount(item.metric, event.value)), h("span", { class: "spring" }), event.ok !== null && verdict(event.ok, "delivered", "not_delivered"), moment(event.ts)),
        event.error && h("p", { class: "small" }, visible(event.error)),
      ),
    ),
  );
}

async function edit(item, tools, done) {
  const rate = item && RATES.includes(item.metric);
  const sent = await ask({
    title: item ? "alert_edit" : "alert_add",
    go: "alert_save",
    fields: [
      { name: "name", label: "name", value: item?.name, required: true, maxlength: "80" },
      { name: "metric", label: "metric", kind: "choice", value: item?.metric ?? METRICS[0], options: METRICS.map((name) => [name, `metric_${name}`]) },
      { name: "comparison", label: "comparison", kind: "choice", value: item?.comparison ?? "above", options: [["above", "comparison_above"], ["below", "comparison_below"]] },
      { name: "threshold", label: "threshold", kind: "number", required: true, min: "0", value: item ? (rate ? item.threshold * 100 : item.threshold) : "", help: "threshold_help" },
      { name: "window_min", label: "window_min", kind: "number", required: true, min: "1", max: "10080", step: "1", value: item?.window_min ?? 15 },
      { name: "min_requests", label: "min_requests", kind: "number", required: true, min: "0", step: "1", value: item?.min_requests ?? 20, help: "min_requests_help" },
      { name: "tenant_id", label: "tenant", kind: "choice", value: item?.tenant_id ?? "", options: [["", "all_tenants"], ...tools.tenants().map((one) => [one.id, visible(one.name), true])] },
      { name: "route", label: "route_optional", value: item?.route, maxlength: "100", spellcheck: "false" },
      { name: "webhook", label: "webhook", kind: "url", maxlength: "2000", hint: "webhook_hint", help: item?.webhook ? "webhook_keep" : "webhook_help" },
      ...(item?.webhook ? [{ name: "mute", label: "webhook_remove", kind: "switch" }] : []),
      { name: "enabled", label: "enabled", kind: "switch", value: item?.enabled ?? true },
    ],
    send: ({ webhook, mute, threshold, ...rest }) => {
      // Left out, the present webhook stays.
      const told = mute ? { webhook: null } : webhook ? { webhook } : {};
      const body = { ...rest, threshold: RATES.includes(rest.metric) ? threshold / 100 : threshold, ...told };
      return item ? tools.put(`/alerts/${encodeURIComponent(item.id)}`, body) : tools.post("/alerts", body);
    },
  });
  if (sent) await done();
}

async function removeAlert(item, tools) {
  const sent = await ask({
    title: "alert_remove",
    go: "remove",
    danger: true,
    about: [h("p", {}, h("bdi", {}, visible(item.name)))],
    send: () => tools.remove(`/alerts/${encodeURIComponent(item.id)}`),
  });
  if (!sent) return;
  tools.above({ item: "" });
  tools.reload();
}
