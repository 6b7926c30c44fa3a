// A table of rows: columns and items in; a table whose rows open, whose first cell j and k walk over, and which shows its
// rows as cards where there is no room for columns.
//
// A column: { key, kind?, cell(item) → child or children, label? }. `key` is the catalogue's key of its heading, and its
// class is `c-KEY`. `kind`: "figure" (a number, aligned at its end), "nowrap", "wide" (the text that fills the row).

import { h } from "../dom.js";

/** `open(item)` makes rows open on a click; `id(item)` is what focus comes back to; `failed(item)` marks rows for `.`. */
export function table(columns, items, { label = "rows", open, id, failed, kind = "" } = {}) {
  const head = h("tr", {}, columns.map(({ key, kind }) => h("th", { scope: "col", i18n: key, class: kind })));
  return h("table", { class: `rows ${kind}`, label }, h("thead", {}, head), h("tbody", {}, items.map((item) => row(columns, item, { open, id, failed }))));
}

/** One row of such a table, for rows that come later. */
export function row(columns, item, { open, id, failed } = {}) {
  const props = { class: open ? "opens" : "", data: failed?.(item) ? { failed: "" } : {}, on: open ? { click: (event) => selected(event) || open(item) } : {} };
  return h("tr", props, columns.map((column) => h("td", { class: `${column.kind ?? ""} c-${column.key}` }, h("span", { class: "cell-name", "aria-hidden": "true", i18n: column.key }), column.cell(item))));
}

/** The button in a row that opens it by keyboard; `id` names the row. */
export function opener(text, id, open) {
  const click = (event) => {
    event.stopPropagation();
    open();
  };
  return h("button", { type: "button", class: "opener", dir: "auto", data: { row: id }, on: { click } }, text);
}

// Marking text in a row does not open it, and neither does a control inside.
function selected(event) {
  return event.target.closest("a, button, input, select, label") !== null || String(getSelection()) !== "";
}

/** Where a list goes on: older pages by cursor or offset, and the way back to the first. */
export function pager({ next, at, first = "first_page", older = "older", note }, tools) {
  if (!at && !next) return h("nav", { class: "pages", label: "pages" }, note);
  const button = (i18n, patch) => h("button", { type: "button", class: "button", i18n, disabled: !patch, on: patch ? { click: () => tools.page(patch) } : {} });
  return h("nav", { class: "pages", label: "pages" }, note, button(first, at ? { cursor: "", offset: "" } : null), button(older, next));
}
