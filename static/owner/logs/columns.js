// The columns that the list of requests can have. `field` is what an export calls it.

import { h, icon } from "../../dom.js";
import { DASH, millis, money, number, visible } from "../../format.js";
import { t } from "../../i18n.js";
import { idCopy, moment, routeName, statusBadge, valueName } from "../parts.js";
import { opener } from "../table.js";

/** Every column by name; `tools` opens the rows. */
export function columnsOf(tools) {
  const plain = (field) => (item) => visible(item[field]) || DASH;
  return {
    time: { key: "time", field: "ts", kind: "nowrap", cell: (item) => moment(item.ts) },
    tenant: { key: "tenant", field: "tenant", kind: "nowrap", cell: (item) => h("bdi", {}, visible(item.tenant ?? tools.tenantName(item.tenant_id))) },
    question: { key: "question", field: "question", kind: "wide", cell: (item) => opener(visible(item.question_preview) || DASH, item.trace_id, () => tools.openTrace(item.trace_id)) },
    route: { key: "route", field: "route", kind: "nowrap", cell: (item) => routeName(item.route) },
    status: { key: "status", field: "status", kind: "nowrap", cell: (item) => statusBadge(item.status) },
    reason: { key: "reason", field: "reason", cell: (item) => (item.reason ? valueName("reason", item.reason) : DASH) },
    latency: { key: "latency", field: "latency_ms", kind: "figure", cell: (item) => millis(item.latency_ms) },
    ttft: { key: "ttft", field: "ttft_ms", kind: "figure", cell: (item) => millis(item.ttft_ms) },
    input_tokens: { key: "input_tokens", field: "input_tokens", kind: "figure", cell: (item) => number(item.input_tokens) },
    output_tokens: { key: "output_tokens", field: "output_tokens", kind: "figure", cell: (item) => number(item.output_tokens) },
    cost: { key: "cost", field: "cost_usd", kind: "figure", cell: (item) => money(item.cost_usd) },
    model: { key: "model", field: "llm_model", kind: "nowrap", cell: plain("llm_model") },
    sources: { key: "sources_count", field: "sources_count", kind: "figure", cell: (item) => number(item.sources_count) },
    channel: { key: "channel", field: "channel", cell: plain("channel") },
    feedback: { key: "feedback_column", field: "feedback", cell: (item) => (item.feedback ? h("span", { class: `thumb ${item.feedback}`, title: t(`feedback_${item.feedback}`), role: "img", "aria-label": t(`feedback_${item.feedback}`) }, icon(item.feedback)) : DASH) },
    handoff: { key: "handoff_column", field: "handoff", cell: (item) => (item.handoff ? h("span", { i18n: "handoff_yes" }) : DASH) },
    cache: { key: "cache", field: "cache", cell: (item) => (item.cache ? valueName("cache", item.cache) : DASH) },
    session: { key: "session", field: "session_id", kind: "nowrap", cell: (item) => idCopy(item.session_id) },
    trace_id: { key: "trace_id", field: "trace_id", kind: "nowrap", cell: (item) => idCopy(item.trace_id) },
  };
}

const USUAL = ["time", "tenant", "question", "route", "status", "latency", "cost", "feedback"];

/** The names of the columns that an address asks for; the question, which opens the row, is always there. */
export function shownColumns(state, all) {
  const asked = (state.columns ?? "").split(",").filter((name) => Object.hasOwn(all, name));
  // With one tenant chosen, its name in every row says nothing.
  if (asked.length === 0) return state.tenant_id ? USUAL.filter((name) => name !== "tenant") : USUAL;
  return asked.includes("question") ? asked : ["question", ...asked];
}

/** The form that chooses among them. */
export function columnChooser(shown, all, tools) {
  const box = (name) => {
    const input = h("input", { type: "checkbox", id: `column-${name}`, disabled: name === "question", on: { change: choose } });
    input.checked = shown.includes(name);
    return h("label", { class: "check" }, input, h("span", { i18n: all[name].key }));
  };
  function choose() {
    const names = Object.keys(all).filter((name) => document.getElementById(`column-${name}`)?.checked);
    tools.page({ columns: names.join(",") === USUAL.join(",") ? "" : names.join(",") });
  }
  return [h("div", { class: "checks" }, Object.keys(all).map(box)), h("button", { type: "button", class: "button", i18n: "columns_usual", on: { click: () => tools.page({ columns: "" }) } })];
}
