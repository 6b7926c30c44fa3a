// Why this answer: what each source found, how it was weighed, what went into the prompt, and what other weights would find.

import { fill, h, icon } from "../../dom.js";
import { DASH, millis, number, score, visible } from "../../format.js";
import { has, t } from "../../i18n.js";
import { failure } from "../failure.js";
import { receipt, verdict } from "./receipt.js";
import { pretty, section } from "./view.js";

const DRAWN = 50;

export function why(trace, tools) {
  const chunks = byChunk(trace);
  return [
    trace.receipt && section("receipt", receipt(trace, tools)),
    chunks.length > 0 && section("trace_hits", hits(chunks)),
    (chunks.length > 0 || trace.sources?.length > 0) && section("replay", replay(trace, chunks, tools)),
  ].filter(Boolean);
}

// --- what was found ---

/** One entry for each chunk with what every source said about it, the best first. */
function byChunk(trace) {
  const named = new Map((trace.sources ?? []).map((source) => [source.chunk ?? source.chunk_id, source]));
  const chunks = new Map();
  for (const hit of trace.hits ?? []) {
    if (!hit || typeof hit !== "object") continue;
    const id = hit.chunk ?? hit.chunk_id;
    const one = chunks.get(id) ?? { id, document: hit.document, fused: hit.fused, used: false, verdict: hit.verdict ?? trace.receipt?.verdict, source: named.get(id), by: {} };
    one.used ||= Boolean(hit.used);
    one.verdict ??= hit.verdict;
    one.by[hit.source] = hit;
    chunks.set(id, one);
  }
  return [...chunks.values()].sort((a, b) => Number(b.used) - Number(a.used) || (b.fused ?? 0) - (a.fused ?? 0));
}

const sourceName = (name) => (has(`source_${name}`) ? h("span", { i18n: `source_${name}` }) : visible(name));

function hits(chunks) {
  const sources = [...new Set(chunks.flatMap((one) => Object.keys(one.by)))];
  const weighted = chunks.some((one) => Object.values(one.by).some((hit) => typeof hit.weighted === "number"));
  const verdicts = chunks.some((one) => one.verdict !== undefined && one.verdict !== null);
  const most = Math.max(...chunks.map((one) => one.fused ?? 0), 0.000001);
  const body = h("tbody", {});
  const more = h("button", { type: "button", class: "button", on: { click: () => draw() } });
  let drawn = 0;
  const draw = () => {
    for (const one of chunks.slice(drawn, drawn + DRAWN)) {
      const bar = h("i", { class: "share", "aria-hidden": "true" });
      bar.style.inlineSize = `${(Math.max(one.fused ?? 0, 0) / most) * 100}%`;
      body.append(
        h(
          "tr",
          { class: one.used ? "" : "unused" },
          h("td", { class: "used" }, one.used ? h("span", { role: "img", "aria-label": t("hit_used"), title: t("hit_used") }, icon("check")) : null),
          h("th", { scope: "row" }, h("bdi", { class: "clip" }, visible(one.source?.title || one.source?.file_name) || h("code", {}, short(one.id))), bar),
          h("td", { class: "figure" }, score(one.fused)),
          sources.flatMap((name) => {
            const hit = one.by[name];
            return [h("td", { class: "figure" }, hit ? number(hit.rank) : DASH), h("td", { class: "figure" }, score(hit?.score)), weighted ? h("td", { class: "figure" }, score(hit?.weighted)) : null];
          }),
          verdicts ? h("td", {}, verdict(one.verdict)) : null,
        ),
      );
    }
    drawn = Math.min(drawn + DRAWN, chunks.length);
    more.hidden = drawn === chunks.length;
    more.textContent = t("spans_more", { n: number(chunks.length - drawn) });
  };
  draw();
  const columns = weighted ? 3 : 2;
  return h(
    "div",
    {},
    h("p", { class: "small", i18n: ["hits_about", { used: number(chunks.filter((one) => one.used).length), n: number(chunks.length) }] }),
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "region", label: "trace_hits" },
      h(
        "table",
        { class: "plain hits" },
        h(
          "thead",
          {},
          h("tr", {}, h("td", { rowspan: "2" }), h("th", { scope: "col", rowspan: "2", i18n: "document" }), h("th", { scope: "col", rowspan: "2", class: "figure", i18n: "fused" }), sources.map((name) => h("th", { scope: "colgroup", colspan: String(columns), class: "figure" }, sourceName(name))), verdicts ? h("th", { scope: "col", rowspan: "2", i18n: "verdict" }) : null),
          h("tr", {}, sources.flatMap(() => ["rank", "raw_score", weighted && "weighted"].filter(Boolean).map((i18n) => h("th", { scope: "col", class: "figure", i18n })))),
        ),
        body,
      ),
    ),
    more,
  );
}

const short = (id) => `${String(id).slice(0, 8)}…`;

// --- replay ---

function replay(trace, chunks, tools) {
  const out = h("div", { role: "status" });
  const slider = (name) => {
    const shown = h("output", {}, number(1));
    const input = h("input", { id: `replay-${name}`, type: "range", min: "0", max: "2", step: "0.1", value: "1", on: { input: () => (shown.textContent = number(Number(input.value))) } });
    return [input, h("label", { class: "field" }, h("span", { class: "line" }, h("span", { i18n: `weight_${name}` }), shown), input)];
  };
  const [keyword, keywordField] = slider("keyword");
  const [vector, vectorField] = slider("vector");
  const top = h("input", { id: "replay-top", class: "input", type: "number", min: "1", max: "50", value: String(Math.max(trace.sources?.length ?? 0, 1)) });
  const rerank = h("input", { type: "checkbox", checked: true });
  const go = h("button", { class: "button primary", i18n: "replay_go" });
  const run = async (event) => {
    event.preventDefault();
    go.disabled = true;
    try {
      const found = await tools.post(`/logs/${encodeURIComponent(trace.trace_id)}/replay`, { top_k: Number(top.value), weights: { keyword: Number(keyword.value), vector: Number(vector.value) }, rerank: rerank.checked });
      fill(out, compared(found, chunks));
    } catch (problem) {
      fill(out, failure(problem));
    } finally {
      go.disabled = false;
    }
  };
  return h(
    "div",
    {},
    h("p", { class: "small", i18n: "replay_about" }),
    h("form", { class: "replay", on: { submit: run } }, keywordField, vectorField, h("label", { class: "field" }, h("span", { i18n: "top_k" }), top), h("label", { class: "check" }, rerank, h("span", { i18n: "replay_rerank" })), go),
    out,
  );
}

/** The passages of the prompt, each once however many searches found it, the best first. */
function inPrompt(list) {
  const passages = new Map(list.filter((one) => one.used).map((one) => [one.chunk_id, one]));
  return [...passages.values()].sort((a, b) => b.fused - a.fused);
}

/** What went into the prompt then and what would now, side by side, with what enters and what leaves. */
function compared({ original = [], replayed = [], entered = [], left = [], filter, took_ms }, chunks) {
  const title = (one) => visible(one.title || one.file_name || chunks.find(({ id }) => id === one.chunk_id)?.source?.title) || short(one.chunk_id);
  const column = (heading, list, marked, tone, word) =>
    h(
      "div",
      {},
      h("h4", { i18n: heading }),
      h(
        "ol",
        { class: "found" },
        inPrompt(list).map((one, n) => {
          const on = marked.includes(one.chunk_id);
          return h("li", { class: on ? tone : "" }, h("p", { class: "line" }, h("span", { class: "n" }, number(n + 1)), h("bdi", { class: "name" }, title(one)), on && h("span", { class: `badge ${tone}`, i18n: word }), h("span", { class: "figure" }, score(one.fused))));
        }),
      ),
    );
  return [
    h("p", { class: "small", i18n: ["replay_said", { entered: number(entered.length), left: number(left.length), time: millis(took_ms) }] }),
    h("div", { class: "compared" }, column("replay_before", original, left, "bad", "replay_left"), column("replay_now", replayed, entered, "good", "replay_entered")),
    filter && h("details", {}, h("summary", { class: "small", i18n: "filter_sent" }), pretty(filter)),
  ];
}

