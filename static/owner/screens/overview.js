// The overview: what happened in the range and how that compares with the time before; everything leads to its requests.

import { fill, h } from "../../dom.js";
import { DASH, compact, millis, money, number, percent, visible } from "../../format.js";
import { t } from "../../i18n.js";
import { heatmap, heatmapRows } from "../chart/heatmap.js";
import { chartPanel, legendOf } from "../chart/panel.js";
import { spark } from "../chart/spark.js";
import { span, timeChart } from "../chart/time.js";
import { whyEmpty } from "../empty.js";
import { failure } from "../failure.js";
import { chips } from "../logs/facets.js";
import { valueName } from "../parts.js";
import { DIMENSIONS, STATUSES, only, picked, scope } from "../router.js";

// Below this many requests or ratings a rate says little, and is greyed.
const FEW = 20;
const TOP = 8;

export async function load(state, signal, tools) {
  const narrowed = (from) => ({ ...scope(from, { closed: true }), ...picked(from, DIMENSIONS) });
  const asked = narrowed(state);
  const metrics = (from) => tools.get("/metrics", narrowed(from));
  const [figures, series] = await Promise.all([metrics(state), tools.get("/metrics/timeseries", { ...asked, points: 96 })]);
  tools.zone(figures.zone ?? series.zone);
  if (figures.total_requests === 0) {
    const any = async (from) => (await metrics(from)).total_requests > 0;
    return [chips(DIMENSIONS, state, tools), await whyEmpty({ state, fields: ["tenant_id", ...DIMENSIONS], any, tools })];
  }
  return [
    chips(DIMENSIONS, state, tools),
    tiles(figures, series.buckets, tools),
    h("div", { class: "grid-2" }, byStatus(series, tools), latencies(series, tools)),
    later("heatmap", () => tools.get("/metrics/heatmap", { ...asked, points: 96 }, signal), (data) => heat(data, tools), "tall"),
    h(
      "div",
      { class: "grid-3" },
      ["tenant", "route", "model"].map((by) => later(`top_${by}`, () => tools.get("/metrics/breakdown", { ...asked, by, limit: TOP }, signal), (data) => top(by, data, tools))),
    ),
  ];
}

/** A panel that fills itself when its numbers come, and can fail alone. */
function later(title, ask, draw, kind = "") {
  const holder = h("div", { class: "later" });
  const start = async () => {
    fill(holder, h("section", { class: `panel waiting ${kind}`, "aria-busy": "true" }, h("header", {}, h("h2", { i18n: title }))));
    try {
      fill(holder, draw(await ask()));
    } catch (problem) {
      if (problem.name !== "AbortError") fill(holder, h("section", { class: "panel" }, h("header", {}, h("h2", { i18n: title })), h("div", { class: "content" }, failure(problem, start))));
    }
  };
  start();
  return holder;
}

// --- tiles ---

function tiles(figures, buckets, tools) {
  // What failed closed has a tile of its own, so that each tile counts the requests that it leads to.
  const own = (sum) => sum && { ...sum, failed: sum.error_requests - sum.fail_closed };
  const m = own(figures);
  const before = own(figures.previous);
  const n = m.total_requests;
  const logs = (patch) => tools.link("logs", only(patch));
  const rate = (part, whole) => (whole > 0 ? part / whole : null);
  const share = (name, field, of, link, better = "down") => {
    const value = rate(m[field], n);
    return tile(name, percent(value), { note: ["share_of", { part: number(m[field]), n: number(n) }], few: n < FEW, change: points(value, before && before.total_requests >= FEW ? rate(before[field], before.total_requests) : null, better), spark: of, link });
  };
  const of = (value) => buckets.map(value);
  const statusShare = (status) => of((one) => rate(one.by_status?.[status] ?? 0, one.requests));
  const tokens = m.input_tokens + m.output_tokens;
  const limited = buckets.reduce((sum, one) => sum + (one.by_status?.RATE_LIMITED ?? 0), 0);
  const satisfaction = m.satisfaction_rate;
  const all = logs();
  return h(
    "dl",
    { class: "tiles overview-tiles", label: "metrics" },
    tile("tile_requests", compact(n), { title: number(n), change: change(n, before?.total_requests, ""), spark: of((one) => one.requests), link: all }),
    share("tile_errors", "failed", statusShare("ERROR"), logs({ status: "ERROR" })),
    share("tile_fail_closed", "fail_closed", statusShare("FAIL_CLOSED"), logs({ status: "FAIL_CLOSED" })),
    share("tile_abstained", "abstained", statusShare("ABSTAINED"), logs({ status: "ABSTAINED" })),
    tile("tile_p50", millis(m.p50_ms), { few: n < FEW, change: change(m.p50_ms, before?.p50_ms, "down"), spark: of((one) => one.p50_ms), link: logs({ min_ms: from(m.p50_ms) }) }),
    tile("tile_p95", millis(m.p95_ms), { few: n < FEW, change: change(m.p95_ms, before?.p95_ms, "down"), spark: of((one) => one.p95_ms), link: logs({ min_ms: from(m.p95_ms) }) }),
    tile("tile_p99", millis(m.p99_ms), { few: n < FEW, change: change(m.p99_ms, before?.p99_ms, "down"), spark: of((one) => one.p99_ms), link: logs({ min_ms: from(m.p99_ms) }) }),
    tile("tile_ttft", millis(m.ttft_p95_ms), { few: n < FEW, change: change(m.ttft_p95_ms, before?.ttft_p95_ms, "down"), spark: of((one) => one.ttft_p95_ms), link: all }),
    tile("tile_tokens", compact(tokens), { title: number(tokens), note: ["tokens_in_out", { in: compact(m.input_tokens), out: compact(m.output_tokens) }], badge: m.estimated > 0 && h("span", { class: "badge", i18n: "estimated", title: number(m.estimated) }), change: change(tokens, before && before.input_tokens + before.output_tokens, ""), spark: of((one) => one.input_tokens + one.output_tokens), link: all }),
    tile("tile_cost", money(m.cost_usd), { badge: m.unpriced > 0 && h("span", { class: "badge warn", i18n: ["unpriced_n", { n: compact(m.unpriced) }] }), change: change(m.cost_usd, before?.cost_usd, ""), spark: of((one) => one.cost_usd ?? 0), link: logs({ min_cost: "0.000001" }) }),
    tile("tile_satisfaction", percent(satisfaction), { note: ["tile_ratings", { n: m.feedback_total }], few: m.feedback_total < FEW, change: points(satisfaction, before && before.feedback_total >= FEW ? before.satisfaction_rate : null, "up"), spark: of((one) => rate(one.feedback_up, one.feedback_up + one.feedback_down)), link: logs({ feedback: "any" }) }),
    tile("tile_handoffs", percent(m.handoff_rate), { note: ["share_of", { part: number(m.handoff_count), n: number(n) }], few: n < FEW, change: points(m.handoff_rate, before && before.total_requests >= FEW ? before.handoff_rate : null, ""), spark: of((one) => rate(one.handoffs, one.requests)), link: logs({ handoff: "yes" }) }),
    tile("tile_limited", number(limited), { note: ["share_of", { part: number(limited), n: number(n) }], spark: of((one) => one.by_status?.RATE_LIMITED ?? 0), link: logs({ status: "RATE_LIMITED" }) }),
    tile("tile_tenants", number(m.active_tenants), { change: change(m.active_tenants, before?.active_tenants, ""), link: all }),
  );
}

const from = (ms) => (ms ? String(Math.floor(ms)) : "");

function tile(name, value, { title, note, badge, few = false, change, spark: values, link }) {
  return h(
    "div",
    { class: few ? "tile faint" : "tile", data: { tile: name } },
    h("dt", {}, h("a", { href: link, i18n: name })),
    h("dd", { class: "value", title }, value),
    h("dd", { class: "note" }, change, badge, note ? h("span", { i18n: note }) : null),
    h("dd", { class: "sparkline" }, values ? spark(values) : null),
  );
}

/** How a number has changed, in per cent of what it was. `better` is "up", "down" or "" for neither. */
function change(now, before, better) {
  if (typeof now !== "number" || typeof before !== "number" || before === 0) return null;
  return trend((now - before) / before, (by) => percent(by), better);
}

/** How a rate has changed, in percentage points. */
function points(now, before, better) {
  if (typeof now !== "number" || typeof before !== "number") return null;
  return trend(now - before, (by) => t("points", { n: number(by * 100, { maximumFractionDigits: 1 }) }), better);
}

function trend(by, write, better) {
  if (Math.abs(by) < 0.0005) return null;
  const up = by > 0;
  const tone = !better ? "" : up === (better === "up") ? "good" : "bad";
  return h("span", { class: `trend ${tone}`, tip: "trend_tip" }, up ? "▲ " : "▼ ", write(Math.abs(by)));
}

// --- charts ---

const seconds = (ts) => String(Math.floor(Date.parse(ts) / 1000));
const inside = ({ ts, until }) => ({ range: "custom", since: seconds(ts), until: seconds(until) });

function byStatus({ buckets }, tools) {
  const there = STATUSES.filter((status) => buckets.some((one) => one.by_status?.[status] > 0));
  const series = there.map((status) => ({ name: t(`status_${status}`), values: buckets.map((one) => one.by_status?.[status] ?? 0), colour: `--c-${status}` }));
  const peak = buckets.reduce((most, one) => (one.requests > most.requests ? one : most), buckets[0]);
  const total = buckets.reduce((sum, one) => sum + one.requests, 0);
  const open = (bucket, patch = {}) => tools.link("logs", only({ ...inside(bucket), ...patch }));
  const chart = timeChart({
    buckets,
    series,
    stacked: true,
    format: compact,
    summary: t("by_status_said", { n: number(total), most: number(peak?.requests), time: peak ? span(peak) : DASH }),
    range: (since, until) => tools.go({ range: "custom", since: String(since), until: String(until) }),
    bucket: (bucket) => tools.to("logs", only(inside(bucket))),
  });
  const rows = () => [
    [t("time"), t("tile_requests"), ...there.map((status) => t(`status_${status}`))],
    ...buckets.map((one) => [h("a", { href: open(one) }, span(one)), number(one.requests), ...there.map((status) => (one.by_status?.[status] ? h("a", { href: open(one, { status }) }, number(one.by_status[status])) : "0"))]),
  ];
  return chartPanel({ title: "by_status", chart, legend: legendOf(there.map((status) => [h("a", { href: tools.link("logs", only({ status })), i18n: `status_${status}` }), `--c-${status}`])), rows });
}

function latencies({ buckets }, tools) {
  const lines = [["p50", "p50_ms", "--c-1"], ["p95", "p95_ms", "--c-2"], ["p99", "p99_ms", "--c-3"], [t("ttft_p95"), "ttft_p95_ms", "--c-4", [4, 3]]];
  const last = [...buckets].reverse().find((one) => one.p95_ms !== null);
  const chart = timeChart({
    buckets,
    series: lines.map(([name, field, colour, dash]) => ({ name, values: buckets.map((one) => one[field] ?? null), colour, dash })),
    format: millis,
    summary: t("latencies_said", { time: last ? span(last) : DASH, p50: millis(last?.p50_ms), p95: millis(last?.p95_ms) }),
    range: (since, until) => tools.go({ range: "custom", since: String(since), until: String(until) }),
    bucket: (bucket) => tools.to("logs", only({ ...inside(bucket), min_ms: from(bucket.p95_ms) })),
  });
  const rows = () => [[t("time"), ...lines.map(([name]) => name)], ...buckets.filter((one) => one.requests > 0).map((one) => [h("a", { href: tools.link("logs", only(inside(one))) }, span(one)), ...lines.map(([, field]) => millis(one[field]))])];
  return chartPanel({ title: "latencies", chart, legend: legendOf(lines.map(([name, , colour]) => [name, colour])), rows });
}

function heat(data, tools) {
  if (data.cells.length === 0) return h("section", { class: "panel" }, h("header", {}, h("h2", { i18n: "heatmap" })), h("div", { class: "content" }, h("p", { class: "nothing", i18n: "nothing_here" })));
  const pick = (box) => tools.to("logs", only({ range: "custom", ...box }));
  return chartPanel({ title: "heatmap", note: h("span", { class: "small", i18n: "heatmap_hint" }), chart: heatmap(data, pick), rows: () => heatmapRows(data) });
}

// --- who and what ---

const FIELD = { tenant: "tenant_id", route: "route", model: "model" };

function top(by, { items, other }, tools) {
  const most = Math.max(...items.map((one) => one.requests), 1);
  const row = (name, one, bar) => {
    const few = one.requests < FEW;
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, name, bar),
      h("td", { class: "figure" }, number(one.requests)),
      h("td", { class: few ? "figure faint" : "figure" }, percent(one.requests > 0 ? one.errors / one.requests : null)),
      h("td", { class: few ? "figure faint" : "figure" }, millis(one.p95_ms)),
      h("td", { class: "figure" }, money(one.cost_usd)),
    );
  };
  const named = (one) => {
    const bar = h("i", { class: "share", "aria-hidden": "true" });
    bar.style.inlineSize = `${(one.requests / most) * 100}%`;
    const text = by === "tenant" ? h("bdi", {}, visible(one.label ?? one.value)) : valueName(by, one.value);
    const name = one.value ? h("a", { href: tools.link("logs", only({ [FIELD[by]]: one.value })) }, text) : h("span", {}, text);
    return row(name, one, bar);
  };
  const heads = ["tile_requests", "errors_short", "tile_p95_short", "cost"].map((i18n) => h("th", { scope: "col", class: "figure", i18n }));
  return h(
    "section",
    { class: "panel" },
    h("header", {}, h("h2", { i18n: `top_${by}` })),
    h("div", { class: "content sideways" }, h("table", { class: "plain top-table" }, h("thead", {}, h("tr", {}, h("th", { scope: "col", i18n: by }), heads)), h("tbody", {}, items.map(named), other ? row(h("span", { i18n: "others" }), other) : null))),
  );
}

