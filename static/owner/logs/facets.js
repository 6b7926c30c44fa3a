// What the requests of a list can be narrowed to: values with their counts, and ranges of numbers.

import { h, icon } from "../../dom.js";
import { compact, money, number, visible } from "../../format.js";
import { t } from "../../i18n.js";
import { valueName } from "../parts.js";

/** The field of the filter behind each facet, in order. */
const FACETS = [["status", "status"], ["route", "route"], ["tenant", "tenant_id"], ["model", "model"], ["channel", "channel"], ["reason", "reason"], ["feedback", "feedback"], ["handoff", "handoff"], ["cache", "cache"]];
const RANGES = [["latency_ms", "min_ms", "max_ms", "any"], ["cost_usd", "min_cost", "max_cost", "any"], ["tokens_range", "min_tokens", "max_tokens", "1"]];
/** What only the rows know, and is counted of the newest of them. */
const NEWEST = ["reason", "feedback", "handoff", "cache"];
const SHOWN = 6;

/** The column of facets; `facets` is the answer of /logs/facets, or null when it is not known. */
export function facetColumn(facets, state, tools) {
  return h("div", { class: "facets", data: { filters: "" } }, FACETS.map(([facet, field]) => group(facet, field, facets, state, tools)), RANGES.map((range) => numbers(range, state, tools)));
}

function group(facet, field, facets, state, tools) {
  const values = (facets?.[facet] ?? []).filter(({ value }) => value !== null);
  // What is chosen stays to be seen, so that it can be left again.
  if (state[field] && !values.some(({ value }) => value === state[field])) values.unshift({ value: state[field], count: 0 });
  if (values.length === 0) return null;
  const name = ({ value, name }) => (facet === "tenant" ? h("bdi", {}, visible(name ?? tools.tenantName(value))) : valueName(facet, value));
  const one = (entry) => {
    const on = state[field] === entry.value;
    return h(
      "li",
      {},
      h("button", { type: "button", id: `facet-${facet}-${entry.value}`, class: "facet", "aria-pressed": String(on), on: { click: () => tools.go({ [field]: on ? "" : entry.value }) } }, h("span", { class: "name" }, name(entry)), h("span", { class: "figure", title: number(entry.count) }, compact(entry.count), facets && facets.exact === false ? "+" : null)),
    );
  };
  const sampled = NEWEST.includes(facet) && facets && facets.sampled < facets.total;
  const chosen = values.findIndex(({ value }) => value === state[field]);
  const rest = values.slice(Math.max(SHOWN, chosen + 1));
  return h(
    "section",
    {},
    h("h3", {}, h("span", { i18n: facet === "feedback" || facet === "handoff" ? `${facet}_column` : facet }), sampled && h("small", { i18n: ["facets_newest", { n: facets.sampled }] })),
    h("ul", {}, values.slice(0, values.length - rest.length).map(one)),
    rest.length > 0 && h("details", {}, h("summary", { i18n: ["facets_more", { n: rest.length }] }), h("ul", {}, rest.map(one))),
  );
}

function numbers([name, least, most, step], state, tools) {
  const input = (field, hint) => {
    const one = h("input", { id: `filter-${field}`, class: "input", type: "number", min: "0", step, inputmode: "decimal", hint, "aria-label": `${t(name)}, ${t(hint)}`, on: { change: () => tools.go({ [field]: one.value }) } });
    one.value = state[field] ?? "";
    return one;
  };
  return h("section", {}, h("h3", { i18n: name }), h("div", { class: "range" }, input(least, "at_least"), h("span", { "aria-hidden": "true" }, "–"), input(most, "at_most")));
}

/** What the filter holds, each with a way to leave it. */
export function chips(fields, state, tools) {
  const there = fields.filter((name) => state[name] && name !== "q");
  if (there.length === 0) return null;
  const clear = () => tools.go(Object.fromEntries(fields.map((name) => [name, ""])));
  return h(
    "ul",
    { class: "chips", label: "filters" },
    there.map((name) => h("li", {}, h("button", { type: "button", class: "chip", tip: ["clear_one", { what: t(`field_${name}`) }], on: { click: () => tools.go({ [name]: "" }) } }, h("span", { class: "small", i18n: `field_${name}` }), " ", worded(name, state[name], tools), icon("close")))),
    there.length > 1 && h("li", {}, h("button", { type: "button", class: "quiet", i18n: "clear_filters", on: { click: clear } })),
  );
}

function worded(name, value, tools) {
  if (name === "tenant_id") return h("bdi", {}, visible(tools.tenantName(value)));
  if (name.endsWith("_ms")) return `${number(Number(value))} ms`;
  if (name.endsWith("_cost")) return money(Number(value));
  if (name.endsWith("_tokens")) return number(Number(value));
  return valueName(name, value);
}
