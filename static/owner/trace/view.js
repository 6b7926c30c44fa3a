// One request from its question to its last span: its head, and its parts as tabs. Everything here was written by strangers:
// text only, and of an answer's Markdown what `blocks` makes of it.

import { blocks } from "../../answer.js";
import { copyButton, fill, h, icon } from "../../dom.js";
import { DASH, millis, money, number, score, visible } from "../../format.js";
import { t } from "../../i18n.js";
import { idCopy, moment, routeName, statusBadge, valueName } from "../parts.js";
import { why } from "./retrieval.js";
import { waterfall } from "./waterfall.js";

/** A trace by its id, as { nodes, trace, tab(name) }. */
export async function traceView(id, tab, signal, tools) {
  const trace = await tools.get(`/logs/${encodeURIComponent(id)}`, {}, signal);
  const parts = [
    ["conversation", () => conversation(trace)],
    trace.spans?.length > 0 && ["waterfall", () => waterfall(trace, tools)],
    (trace.receipt || trace.hits?.length > 0 || trace.sources?.length > 0) && ["retrieval", () => why(trace, tools)],
    trace.prompt && ["prompt", () => prompt(trace.prompt)],
    trace.feedback?.length > 0 && ["feedback", () => feedback(trace.feedback), trace.feedback.length],
    trace.related?.length > 0 && ["related", () => related(trace, tools), trace.related.length],
    ["raw", () => raw(trace)],
  ].filter(Boolean);
  const body = h("div", { class: "tab-body", role: "tabpanel", tabindex: "-1" });
  const made = new Map();
  const buttons = parts.map(([name, , n]) => h("button", { type: "button", class: "tab", role: "tab", data: { tab: name }, on: { click: () => choose(name) } }, h("span", { i18n: `tab_${name}` }), n ? h("small", {}, number(n)) : null));
  const list = h("div", { class: "tabs", role: "tablist", label: "trace", on: { keydown: (event) => walk(event, buttons) } }, buttons);
  let shown = "";
  const show = (wanted) => {
    const [name, make] = parts.find(([name]) => name === wanted) ?? parts[0];
    if (name === shown) return;
    shown = name;
    for (const button of buttons) {
      const on = button.dataset.tab === name;
      button.setAttribute("aria-selected", String(on));
      button.tabIndex = on ? 0 : -1;
    }
    if (!made.has(name)) made.set(name, make());
    fill(body, made.get(name));
  };
  const choose = (name) => {
    show(name);
    tools.above({ tab: name === parts[0][0] ? "" : name }, { replace: true });
  };
  show(tab);
  return { nodes: [head(trace, tools), list, body], trace, tab: show };
}

function walk(event, buttons) {
  const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!by) return;
  const way = getComputedStyle(event.currentTarget).direction === "rtl" ? -by : by;
  const next = buttons[(buttons.indexOf(document.activeElement) + way + buttons.length) % buttons.length];
  next.focus();
  next.click();
}

// --- head ---

function head(trace, tools) {
  const tokens = (n) => [number(n), trace.estimated && typeof n === "number" ? h("span", { class: "small" }, " ", t("estimated")) : null];
  const unpriced = trace.cost_estimate === null || trace.cost_estimate === undefined;
  const only = (text) => visible(text) || DASH;
  return h(
    "div",
    { class: "trace-head" },
    h("div", { class: "summary" }, statusBadge(trace.status), trace.reason && h("span", { class: "badge" }, valueName("reason", trace.reason)), routeName(trace.route), h("b", {}, millis(trace.latency_ms)), moment(trace.ts)),
    facts([
      ["trace_id", idCopy(trace.trace_id)],
      ["tenant", [h("bdi", {}, visible(tools.tenantName(trace.tenant_id)))]],
      trace.session_id && ["session", idCopy(trace.session_id)],
      trace.request_id && ["request_id", idCopy(trace.request_id)],
      ["channel", only(trace.channel)],
      trace.llm_model && ["model", `${visible(trace.llm_model)}${trace.llm_provider ? ` · ${visible(trace.llm_provider)}` : ""}`],
      ["tokens_range", trace.input_tokens === null || trace.input_tokens === undefined ? DASH : [...tokens(trace.input_tokens), " → ", number(trace.output_tokens)]],
      ["cost", unpriced ? h("span", { class: "faint", i18n: "unpriced" }) : money(trace.cost_estimate)],
      ["ttft", millis(typeof trace.ttft_us === "number" ? trace.ttft_us / 1000 : null)],
      typeof trace.confidence === "number" && ["confidence", score(trace.confidence)],
      trace.tool_metadata?.cache && ["cache", valueName("cache", trace.tool_metadata.cache)],
      trace.degraded?.length > 0 && ["degraded", visible(trace.degraded.join(", "))],
    ]),
    h(
      "div",
      { class: "actions" },
      labelled("copy_curl", curl(trace)),
      trace.handoff && h("a", { class: "button", href: tools.link("handoffs", { item: trace.handoff.id }) }, h("span", { i18n: "handoff_column" }), " ", statusBadge(trace.handoff.status)),
    ),
  );
}

function labelled(key, text) {
  const copy = copyButton(text, null, key);
  copy.querySelector("button").prepend(h("span", { i18n: key }));
  copy.querySelector("button").classList.add("button");
  return copy;
}

/** The command that asks the same again. */
function curl(trace) {
  const body = JSON.stringify({ question: trace.question ?? "" }).replaceAll("'", "'\\''");
  return [`curl -s ${location.origin}/query \\`, `  -H 'Authorization: Bearer YOUR_KEY' \\`, `  -H 'Content-Type: application/json' \\`, `  -d '${body}'`].join("\n");
}

/** Names and values side by side. */
export function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.filter(Boolean).map(([name, content]) => h("div", {}, h("dt", { i18n: name }), h("dd", {}, content))));
}

/** A part of a tab under a headline. */
export function section(title, ...content) {
  return h("section", {}, h("h3", { i18n: title }), ...content);
}

// --- conversation ---

function conversation(trace) {
  return [
    section("question", text(trace.question)),
    section("trace_answer", trace.answer ? answer(trace) : h("p", { class: "nothing", i18n: "no_answer" })),
    trace.error && section("trace_error", h("p", { class: "small" }, [trace.error_stage, trace.error_kind].filter(Boolean).map(visible).join(" · ")), text(trace.error)),
    trace.sources?.length > 0 && section("trace_sources", sources(trace.sources)),
    Object.keys(trace.tool_metadata ?? {}).length > 0 && section("trace_tool", pretty(trace.tool_metadata)),
  ].filter(Boolean);
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

function sources(list) {
  return h(
    "ol",
    { class: "found" },
    list.map((source) =>
      h(
        "li",
        { id: sourceId(source.n) },
        h("p", { class: "line" }, h("span", { class: "n" }, visible(source.n)), h("bdi", { class: "name" }, visible(source.title || source.file_name || source.doc_id)), typeof source.score === "number" && h("span", { class: "figure", tip: "score" }, score(source.score))),
        source.file_name && source.title && source.file_name !== source.title && h("p", { class: "small" }, visible(source.file_name)),
        source.snippet && h("details", {}, h("summary", { class: "small snippet", dir: "auto" }, visible(source.snippet).slice(0, 140)), h("p", { class: "small snippet", dir: "auto" }, visible(source.snippet))),
      ),
    ),
  );
}

// --- the other tabs ---

function prompt(prompt) {
  const rendered = typeof prompt === "string" ? prompt : (prompt.text ?? prompt.rendered ?? JSON.stringify(prompt, null, 2));
  const version = typeof prompt === "object" ? prompt.version : null;
  return [version && h("p", { class: "small" }, h("span", { i18n: "prompt_version" }), " ", h("code", {}, visible(version))), copyButton(rendered, null, "copy_prompt"), h("pre", { class: "scroll wrap", tabindex: "0", dir: "auto" }, visible(rendered))].filter(Boolean);
}

function feedback(list) {
  return h(
    "ul",
    { class: "found" },
    list.map((one) =>
      h("li", {}, h("p", { class: "line" }, icon(one.rating > 0 ? "up" : "down"), h("span", { class: "name", i18n: one.rating > 0 ? "helpful" : "not_helpful" }), moment(one.ts)), one.comment && h("p", { class: "small", dir: "auto" }, visible(one.comment))),
    ),
  );
}

/** The other requests of the session, as the conversation went. */
function related(trace, tools) {
  const all = [...trace.related].sort((a, b) => (a.ts < b.ts ? -1 : 1));
  return h(
    "ol",
    { class: "found" },
    all.map((one) =>
      h("li", {}, h("p", { class: "line" }, statusBadge(one.status), h("a", { class: "name", dir: "auto", href: tools.link("trace", { trace: one.trace_id }), on: { click: (event) => open(event, one, tools) } }, visible(one.question_preview) || DASH), moment(one.ts))),
    ),
  );
}

function open(event, one, tools) {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  tools.openTrace(one.trace_id);
}

/** JSON as text. */
export function pretty(data) {
  return h("pre", { class: "scroll", tabindex: "0" }, visible(JSON.stringify(data, null, 2)));
}

function raw(trace) {
  return [h("p", {}, labelled("copy_json", JSON.stringify(trace, null, 2))), pretty(trace)];
}
