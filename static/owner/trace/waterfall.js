// The stages of a request in time: how long each took, how much of that was its own, and when the first text was there.

import { h } from "../../dom.js";
import { millis, number, visible } from "../../format.js";
import { has, t } from "../../i18n.js";

const DRAWN = 200;
const TICKS = 4;

export function waterfall(trace) {
  const spans = nested(trace.spans);
  const end = Math.max(trace.latency_us ?? (trace.latency_ms ?? 0) * 1000, ...spans.map((s) => s.start_us + s.duration_us), 1);
  const first = typeof trace.ttft_us === "number" && trace.ttft_us <= end ? trace.ttft_us / end : null;
  const longest = spans.reduce((most, span) => (span.self_us > most.self_us ? span : most), spans[0]);
  const list = h("ol", { class: "waterfall" });
  const more = h("button", { type: "button", class: "button", on: { click: () => draw() } });
  let drawn = 0;
  const draw = () => {
    list.append(...spans.slice(drawn, drawn + DRAWN).map((span) => row(span, end, first, span === longest)));
    drawn = Math.min(drawn + DRAWN, spans.length);
    more.hidden = drawn === spans.length;
    more.textContent = t("spans_more", { n: number(spans.length - drawn) });
  };
  draw();
  return h(
    "div",
    {},
    h("div", { class: "waterfall-head", "aria-hidden": "true" }, h("span", { i18n: "stage" }), ruler(end), h("span", { class: "figure", i18n: "duration" }), h("span", { class: "figure", i18n: "self_time" })),
    list,
    more,
    first !== null && h("p", { class: "legend" }, h("i", { class: "first", "aria-hidden": "true" }), h("span", { i18n: "ttft" }), " ", millis(trace.ttft_us / 1000)),
  );
}

/** The spans in order, each with its depth and its own time: a span lies in another when it is within its time. */
function nested(spans) {
  const sorted = spans.map((span) => ({ ...span, depth: 0, self_us: span.duration_us })).sort((a, b) => a.start_us - b.start_us || b.duration_us - a.duration_us);
  const open = [];
  for (const span of sorted) {
    while (open.length > 0 && span.start_us + span.duration_us > open.at(-1).start_us + open.at(-1).duration_us) open.pop();
    const parent = open.at(-1);
    if (parent) {
      span.depth = parent.depth + 1;
      parent.self_us = Math.max(parent.self_us - span.duration_us, 0);
    }
    open.push(span);
  }
  return sorted;
}

function row(span, end, first, longest) {
  const bar = h("i", { class: longest ? "span longest" : "span" });
  // Set through the object model: the page's policy allows no style attributes.
  bar.style.left = share(span.start_us / end);
  bar.style.width = share(span.duration_us / end);
  const track = h("span", { class: "track", "aria-hidden": "true", dir: "ltr" }, bar);
  if (first !== null) {
    const mark = h("i", { class: "first" });
    mark.style.left = share(first);
    track.append(mark);
  }
  const key = `stage_${span.stage}`;
  const name = h("span", { class: "stage", title: visible(span.stage), ...(has(key) ? { i18n: key } : {}) }, has(key) ? null : visible(span.stage));
  name.style.paddingInlineStart = `${Math.min(span.depth, 8) * 0.8}rem`;
  return h("li", {}, name, track, h("span", { class: "figure" }, millis(span.duration_us / 1000)), h("span", { class: "figure" }, millis(span.self_us / 1000)));
}

function ruler(end) {
  const line = h("span", { class: "ruler", dir: "ltr" });
  for (let n = 0; n <= TICKS; n++) {
    const mark = h("span", {}, millis((end * n) / TICKS / 1000));
    mark.style.left = share(n / TICKS);
    line.append(mark);
  }
  return line;
}

const share = (part) => `${Math.min(Math.max(part, 0), 1) * 100}%`;
