// What was used and what it cost: by day, tenant and model, this month, and at which prices.

import { h, icon } from "../../dom.js";
import { DASH, number, visible } from "../../format.js";
import { ask } from "../dialog.js";
import { empty, whyEmpty } from "../empty.js";
import { button, moment } from "../parts.js";
import { part, said, segments, tenantText, tile, tiles } from "../pieces.js";
import { picked, scope } from "../router.js";
import { pager, table } from "../table.js";
import { usd } from "../units.js";

const PAGE = 100;

export async function load(state, signal, tools) {
  const asked = (from) => ({ ...scope(from), ...picked(from, ["model"]) });
  const fetch = (from, more) => tools.get("/usage", { ...asked(from), ...more });
  const prices = state.part === "prices";
  const [usage, book] = await Promise.all([fetch(state, prices ? { limit: 1 } : { limit: PAGE, offset: state.offset }), prices ? tools.get("/prices") : null]);
  const bar = (...actions) => h("div", { class: "toolbar", data: { filters: "" } }, segments("views", "part", [["", "usage_days"], ["prices", "usage_prices"]], state, tools), h("span", { class: "spring" }), actions);
  const top = [month(usage.month), unpriced(usage.unpriced ?? [], tools)];
  if (prices) return [...top, bar(button("price_add", () => addPrice({}, tools), { kind: "button primary" })), repricing(book.repricing), priceBook(book, tools)];
  const model = modelFilter(state, usage, tools);
  const file = (format) => h("a", { class: "button", href: `/owner/api/usage/export?${new URLSearchParams({ ...filled(asked(state)), format })}`, download: "" }, icon("download"), format.toUpperCase());
  if (usage.items.length === 0) {
    const any = async (from) => (await fetch(from, { limit: 1 })).items.length > 0;
    return [...top, bar(model), await whyEmpty({ state, fields: ["tenant_id", "model"], any, tools })];
  }
  const columns = [
    { key: "day", kind: "nowrap", cell: (row) => h("bdi", { dir: "ltr" }, visible(row.day)) },
    { key: "tenant", kind: "title", cell: (row) => tenantText(row, tools) },
    { key: "model", kind: "nowrap", cell: (row) => (row.model ? h("bdi", {}, visible(row.model)) : h("span", { class: "few", i18n: "no_model" })) },
    { key: "requests", kind: "figure", cell: (row) => number(row.requests) },
    { key: "input_tokens", kind: "figure", cell: (row) => number(row.input_tokens) },
    { key: "output_tokens", kind: "figure", cell: (row) => number(row.output_tokens) },
    { key: "estimated_n", kind: "figure", cell: (row) => (row.estimated > 0 ? h("span", { class: "few" }, number(row.estimated)) : number(0)) },
    { key: "cost", kind: "figure", cell: (row) => cost(row) },
  ];
  return [
    ...top,
    bar(model, file("csv"), file("jsonl")),
    h("section", { class: "list" }, table(columns, usage.items, { label: "usage_days" })),
    pager({ next: usage.next && { offset: usage.next }, at: state.offset }, tools),
  ];
}

const filled = (query) => Object.fromEntries(Object.entries(query).filter(([, value]) => value));

// A day that used a model without a price has no cost, and one that used both has at least this.
function cost(row) {
  if (!row.unpriced) return row.model ? usd(row.cost_usd) : DASH;
  const badge = h("span", { class: "badge warn", i18n: "unpriced" });
  return row.priced > 0 ? [usd(row.cost_usd), " ", badge] : badge;
}

function month(month) {
  if (!month) return null;
  const forecast = month.forecast_usd === null || month.forecast_usd === undefined;
  return tiles(
    tile("month_cost", usd(month.cost_usd)),
    tile("month_forecast", usd(month.forecast_usd), forecast ? "month_forecast_early" : "month_forecast_about", forecast ? "faint" : ""),
    tile("month_requests", number(month.requests)),
    tile("month_tokens", number(month.tokens)),
  );
}

function unpriced(models, tools) {
  if (models.length === 0) return null;
  return part(
    "unpriced_title",
    [],
    h("p", { class: "small", i18n: "unpriced_about" }),
    h(
      "ul",
      { class: "lines" },
      models.map((one) =>
        h(
          "li",
          {},
          h("bdi", { class: "name" }, visible(one.model)),
          one.provider && h("span", { class: "small" }, visible(one.provider)),
          h("span", { class: "small", i18n: ["requests_n", { n: number(one.requests) }] }),
          h("span", { class: "small", i18n: ["tokens", { n: number((one.input_tokens ?? 0) + (one.output_tokens ?? 0)) }] }),
          h("span", { class: "spring" }),
          button("price_set", () => addPrice({ model: one.model }, tools)),
        ),
      ),
    ),
  );
}

function modelFilter(state, usage, tools) {
  const known = [...new Set([...usage.items.map((row) => row.model), ...(usage.unpriced ?? []).map((one) => one.model), state.model].filter(Boolean))].sort();
  const select = h("select", { id: "filter-model", class: "input", label: "model", on: { change: () => tools.go({ model: select.value }) } }, h("option", { value: "", i18n: "all_models" }), known.map((name) => h("option", { value: name }, visible(name))));
  select.value = state.model ?? "";
  return select;
}

// --- prices ---

function repricing(now) {
  if (!now || !now.left) return null;
  return h("p", { class: "note-line", role: "status", i18n: ["repricing", { done: number(now.done), left: number(now.left) }] });
}

function priceBook(book, tools) {
  if (book.items.length === 0) return empty("empty_prices", "empty_prices_hint");
  const columns = [
    { key: "model", kind: "title", cell: (row) => h("bdi", {}, visible(row.model)) },
    { key: "effective_from", kind: "nowrap", cell: (row) => moment(row.effective_from) },
    { key: "price_input", kind: "figure", cell: (row) => usd(row.input_per_million) },
    { key: "price_output", kind: "figure", cell: (row) => usd(row.output_per_million) },
    { key: "note", cell: (row) => (row.note ? said(row.note) : DASH) },
    { key: "created", kind: "nowrap", cell: (row) => moment(row.created_at) },
    { key: "actions", kind: "nowrap", cell: (row) => button("remove", () => removePrice(row, tools), { kind: "link" }) },
  ];
  return h("section", { class: "list" }, table(columns, book.items, { label: "usage_prices" }));
}

async function addPrice({ model = "" }, tools) {
  const sent = await ask({
    title: "price_add",
    go: "price_save",
    about: [h("p", { i18n: "price_about" })],
    fields: [
      { name: "model", label: "model", value: model, required: true, maxlength: "200", spellcheck: "false" },
      { name: "effective_from", label: "effective_from", kind: "date", required: true, help: "effective_help" },
      { name: "input_per_million", label: "price_input", kind: "number", min: "0", max: "1000000", required: true },
      { name: "output_per_million", label: "price_output", kind: "number", min: "0", max: "1000000", required: true },
      { name: "note", label: "note_optional", maxlength: "500" },
    ],
    send: ({ note, ...price }) => tools.post("/prices", note ? { ...price, note } : price),
  });
  if (sent) tools.reload();
}

async function removePrice(row, tools) {
  const sent = await ask({
    title: "price_remove",
    go: "remove",
    danger: true,
    about: [h("p", {}, h("bdi", {}, visible(row.model)), " · ", moment(row.effective_from)), h("p", { i18n: "price_remove_about" })],
    send: () => tools.remove(`/prices/${encodeURIComponent(row.id)}`),
  });
  if (sent) tools.reload();
}
