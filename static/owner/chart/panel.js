// A chart in a panel, and the same numbers as a table for whoever cannot or does not want to read a picture.

import { fill, h } from "../../dom.js";

/** `rows()` gives the table's rows as lists of cells, first the headings; asked for when the table is shown. */
export function chartPanel({ title, note, chart, legend, rows }) {
  const holder = h("div", { class: "chart-table scroll", tabindex: "0", role: "region", label: title, hidden: true });
  const toggle = h("button", { type: "button", class: "quiet", i18n: "as_table", "aria-expanded": "false", on: { click: () => show(holder.hidden) } });
  const show = (on) => {
    holder.hidden = !on;
    chart.hidden = on;
    toggle.setAttribute("aria-expanded", String(on));
    if (!on || holder.firstChild) return;
    const [head, ...body] = rows();
    fill(holder, h("table", { class: "plain" }, h("thead", {}, h("tr", {}, head.map((cell, n) => h("th", { scope: "col", class: n > 0 ? "figure" : "" }, cell)))), h("tbody", {}, body.map((row) => h("tr", {}, row.map((cell, n) => h("td", { class: n > 0 ? "figure" : "" }, cell)))))));
  };
  return h("section", { class: "panel" }, h("header", {}, h("h2", { i18n: title }), h("span", { class: "spring" }), note, toggle, legend), h("div", { class: "content" }, chart, holder));
}

/** What the colours mean: [[text, CSS variable]]. */
export function legendOf(entries) {
  return h(
    "ul",
    { class: "legend" },
    entries.map(([text, name]) => {
      const dot = h("i", { "aria-hidden": "true" });
      dot.style.background = `var(${name})`;
      return h("li", {}, dot, text);
    }),
  );
}
