// Small pieces that the console's views share.

import { sentence } from "./api.js";
import { copyButton, h } from "./dom.js";
import { shortId, visible, when, whenFull } from "./format.js";
import { has } from "./i18n.js";

const TONES = { SUCCESS: "good", ERROR: "bad", FAIL_CLOSED: "bad", ABSTAINED: "warn", RATE_LIMITED: "warn", OVER_BUDGET: "warn", new: "accent", contacted: "warn", closed: "good" };

export function statusBadge(status) {
  const key = `status_${status}`;
  const tone = Object.hasOwn(TONES, status) ? TONES[status] : "";
  return h("span", { class: `badge ${tone}`, ...(has(key) ? { i18n: key } : {}) }, has(key) ? null : visible(status));
}

export function moment(ts) {
  return h("time", { datetime: ts, title: whenFull(ts) }, when(ts));
}

export function idCopy(id) {
  return id ? copyButton(id, shortId(id), "copy_id") : "–";
}

/** A failure with a way to try again. */
export function failure(problem, retry) {
  const detail = problem.detail || problem.title;
  return h(
    "div",
    { class: "alert", role: "alert" },
    h("p", { i18n: sentence(problem) }),
    detail && h("p", { class: "detail" }, visible(detail)),
    h(
      "div",
      { class: "actions" },
      h("button", { type: "button", class: "button", i18n: "retry", on: { click: retry } }),
      problem.traceId && idCopy(problem.traceId),
    ),
  );
}

/** A list without rows: a headline, a hint, and what helps. */
export function empty(headline, hint, ...help) {
  return h("div", { class: "empty" }, h("p", { class: "headline", i18n: headline }), h("p", { i18n: hint }), ...help);
}

/** A table whose cells carry their column's name, so that narrow screens can show rows as cards. */
export function table(columns, rows) {
  return h(
    "table",
    { class: "rows" },
    h("thead", {}, h("tr", {}, columns.map(({ key, kind }) => h("th", { scope: "col", i18n: key, class: kind })))),
    h("tbody", {}, rows),
  );
}

/** One cell of such a table. */
export function cell({ key, kind }, ...content) {
  return h("td", { class: `${kind ?? ""} c-${key}` }, h("span", { class: "cell-name", "aria-hidden": "true", i18n: key }), ...content);
}
