// One request from its question to its last span. Everything here was written by strangers: text only,
// and of an answer's Markdown what `blocks` makes of it.

import { blocks } from "../../answer.js";
import { copyButton, h, icon } from "../../dom.js";
import { DASH, millis, number, score, visible } from "../../format.js";
import { t } from "../../i18n.js";
import { idCopy, moment, routeName, statusBadge } from "../parts.js";

const SPANS_DRAWN = 200;
const HITS_DRAWN = 50;

/** A trace by its id, as { nodes, tab(name) }. */
export async function traceView(id, tab, signal, tools) {
  const trace = await tools.get(`/logs/${encodeURIComponent(id)}`, {}, signal);
  return { nodes: traceBody(trace, tools.tenantName), tab() {} };
}

function traceBody(trace, tenantName) {
  return [
    h(
      "div",
      { class: "summary" },
      statusBadge(trace.status),
      h("span", {}, routeName(trace.route)),
      h("span", {}, millis(trace.latency_ms)),
      moment(trace.ts),
      idCopy(trace.trace_id),
    ),
    section("question", text(trace.question)),
    section("trace_answer", trace.answer ? answer(trace) : h("p", { class: "nothing", i18n: "no_answer" })),
    (trace.error || trace.reason) && section("trace_error", trace.reason && h("p", {}, h("code", {}, visible(trace.reason))), trace.error && text(trace.error)),
    trace.spans?.length > 0 && section("trace_stages", waterfall(trace)),
    trace.sources?.length > 0 && section("trace_sources", sources(trace.sources)),
    trace.hits?.length > 0 && section("trace_hits", hits(trace.hits)),
    section("trace_usage", usage(trace)),
    Object.keys(trace.tool_metadata ?? {}).length > 0 && section("trace_tool", pretty(trace.tool_metadata)),
    trace.feedback?.length > 0 && section("trace_feedback", feedback(trace.feedback)),
    section("trace_ids", identity(trace, tenantName)),
    raw(trace),
  ];
}

function section(title, ...content) {
  return h("section", {}, h("h3", { i18n: title }), ...content);
}

function text(value) {
  return h("p", { class: "text", dir: "auto" }, visible(value) || DASH);
}

function answer(trace) {
  const known = new Set((trace.sources ?? []).map((source) => source.n));
  return h("div", { class: "answer", dir: "auto" }, blocks(trace.answer, (n) => (known.has(n) ? citation(n) : null)));
}

function citation(n) {
  const go = (event) => {
    event.preventDefault();
    document.getElementById(sourceId(n))?.scrollIntoView({ block: "center", behavior: "smooth" });
  };
  return h("a", { class: "cite", href: `#${sourceId(n)}`, on: { click: go } }, n);
}

const sourceId = (n) => `trace-source-${n}`;

// --- stages ---

function waterfall(trace) {
  const spans = trace.spans.slice(0, SPANS_DRAWN);
  const end = Math.max((trace.latency_ms ?? 0) * 1000, ...spans.map((s) => s.start_us + s.duration_us), 1);
  const first = typeof trace.ttft_us === "number" ? trace.ttft_us / end : null;
  const rows = spans.map((span) => {
    const bar = h("i", { class: "span" });
    // Set through the object model: the page's policy allows no style attributes.
    bar.style.left = share(span.start_us / end);
    bar.style.width = share(span.duration_us / end);
    const track = h("span", { class: "track", "aria-hidden": "true" }, bar);
    if (first !== null && first <= 1) {
      const mark = h("i", { class: "first" });
      mark.style.left = share(first);
      track.append(mark);
    }
    return h("li", {}, h("span", { class: "stage" }, visible(span.stage)), track, h("span", { class: "figure" }, millis(span.duration_us / 1000)));
  });
  const left = trace.spans.length - spans.length;
  return h(
    "div",
    {},
    h("ol", { class: "waterfall" }, rows),
    first !== null && h("p", { class: "legend" }, h("i", { class: "first", "aria-hidden": "true" }), h("span", { i18n: "ttft" }), " ", millis(trace.ttft_us / 1000)),
    left > 0 && h("p", { class: "nothing", i18n: ["stages_more", { n: number(left) }] }),
  );
}

const share = (part) => `${Math.min(Math.max(part, 0), 1) * 100}%`;

// --- what was found ---

function sources(list) {
  return h(
    "ol",
    { class: "found" },
    list.map((source) =>
      h(
        "li",
        { id: sourceId(source.n) },
        h(
          "p",
          { class: "line" },
          h("span", { class: "n" }, visible(source.n)),
          h("bdi", { class: "name" }, visible(source.title || source.file_name || source.doc_id)),
          typeof source.score === "number" && h("span", { class: "figure", tip: "score" }, score(source.score)),
        ),
        source.file_name && source.title && source.file_name !== source.title && h("p", { class: "small" }, visible(source.file_name)),
        source.snippet && h("p", { class: "small snippet", dir: "auto" }, visible(source.snippet)),
      ),
    ),
  );
}

function hits(list) {
  const shown = list.slice(0, HITS_DRAWN).filter((hit) => hit && typeof hit === "object");
  const names = [...new Set(shown.flatMap((hit) => Object.keys(hit)))].filter((name) => !["text", "snippet"].includes(name)).slice(0, 10);
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", label: "trace_hits" },
    h(
      "table",
      { class: "plain" },
      h("thead", {}, h("tr", {}, names.map((name) => h("th", { scope: "col" }, visible(name))))),
      h("tbody", {}, shown.map((hit) => h("tr", {}, names.map((name) => h("td", {}, value(hit[name])))))),
    ),
  );
}

function value(any) {
  if (any === null || any === undefined) return DASH;
  if (typeof any === "number") return Number.isInteger(any) ? String(any) : score(any);
  return visible(typeof any === "string" ? any : JSON.stringify(any));
}

// --- facts ---

function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.filter(Boolean).map(([name, content]) => h("div", {}, h("dt", { i18n: name }), h("dd", {}, content))));
}

function usage(trace) {
  const tokens = (n) => [number(n), trace.estimated && typeof n === "number" ? h("span", { class: "small" }, " (", t("estimated"), ")") : null];
  const cost = trace.cost_estimate === null || trace.cost_estimate === undefined;
  return facts([
    ["provider", visible(trace.llm_provider) || DASH],
    ["model", visible(trace.llm_model) || DASH],
    ["input_tokens", tokens(trace.input_tokens)],
    ["output_tokens", tokens(trace.output_tokens)],
    ["total_tokens", tokens(trace.total_tokens)],
    ["cost", cost ? h("span", { i18n: "unpriced" }) : `$${number(trace.cost_estimate, { maximumFractionDigits: 6 })}`],
    ["ttft", millis(typeof trace.ttft_us === "number" ? trace.ttft_us / 1000 : null)],
    ["finish", visible(trace.finish) || DASH],
  ]);
}

function identity(trace, tenantName) {
  return facts([
    ["trace_id", idCopy(trace.trace_id)],
    ["tenant", [h("bdi", {}, visible(tenantName(trace.tenant_id))), " ", idCopy(trace.tenant_id)]],
    trace.branch_id && ["branch", visible(trace.branch_id)],
    trace.session_id && ["session", idCopy(trace.session_id)],
    ["channel", visible(trace.channel) || DASH],
  ]);
}

function feedback(list) {
  return h(
    "ul",
    { class: "found" },
    list.map((one) =>
      h(
        "li",
        {},
        h("p", { class: "line" }, icon(one.rating > 0 ? "up" : "down"), h("span", { class: "name", i18n: one.rating > 0 ? "helpful" : "not_helpful" }), moment(one.ts)),
        one.comment && h("p", { class: "small", dir: "auto" }, visible(one.comment)),
      ),
    ),
  );
}

function pretty(data) {
  return h("pre", { class: "scroll", tabindex: "0" }, visible(JSON.stringify(data, null, 2)));
}

function raw(trace) {
  const copy = copyButton(JSON.stringify(trace, null, 2), null, "copy_json");
  return h("details", { class: "raw" }, h("summary", { i18n: "trace_raw" }), copy, pretty(trace));
}

