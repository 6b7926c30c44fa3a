// What went wrong, the request's id for whoever looks into it, and a way to try again.

import { sentence } from "../api.js";
import { copyButton, h } from "../dom.js";
import { shortId, visible } from "../format.js";

/** An alert about a Problem; `retry()` tries again, and may be absent. */
export function failure(problem, retry) {
  // Anything else is a mistake of these pages, and belongs in the browser's own log too.
  if (problem.status === undefined) reportError(problem);
  const detail = problem.detail || problem.title;
  const id = problem.requestId ?? problem.traceId;
  return h(
    "div",
    { class: "alert", role: "alert" },
    h("p", { i18n: sentence(problem) }),
    detail && h("p", { class: "detail" }, visible(detail)),
    h(
      "div",
      { class: "actions" },
      retry && h("button", { type: "button", class: "button", i18n: "retry", on: { click: retry } }),
      id && h("span", { class: "detail" }, h("span", { i18n: "request_id" }), " ", copyButton(id, shortId(id), "copy_id")),
    ),
  );
}
