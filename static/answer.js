// An answer's text as elements: paragraphs, lists, tables, bold and citations. Built node by node
// from text, never parsed as HTML; no links, no images, nothing that loads.

import { h } from "./dom.js";
import { visible } from "./format.js";

const BULLET = /^\s*[-*•]\s+(.*)$/;
const NUMBERED = /^\s*(\d{1,3})[.)]\s+(.*)$/;
const HEADING = /^\s*#{1,6}\s+(.*)$/;
const ROW = /^\s*\|(.+)\|\s*$/;
const RULE = /^\s*\|[\s:|-]+\|\s*$/;

/** Blocks of `text`; `cite(n)` gives the element for citation n, or null when there is no such source. */
export function blocks(text, cite) {
  const out = [];
  let paragraph = [];
  const close = () => {
    if (paragraph.length) out.push(h("p", {}, inline(paragraph.join("\n"), cite)));
    paragraph = [];
  };
  const lines = visible(text).split("\n");
  for (let i = 0; i < lines.length; i += 1) {
    const line = lines[i];
    if (line.trim() === "") {
      close();
    } else if (HEADING.test(line)) {
      close();
      out.push(h("p", { class: "heading" }, inline(HEADING.exec(line)[1], cite)));
    } else if (ROW.test(line) && RULE.test(lines[i + 1] ?? "")) {
      close();
      const rows = [line];
      for (i += 2; i < lines.length && ROW.test(lines[i]); i += 1) rows.push(lines[i]);
      i -= 1;
      out.push(table(rows, cite));
    } else if (BULLET.test(line) || NUMBERED.test(line)) {
      close();
      const pattern = BULLET.test(line) ? BULLET : NUMBERED;
      const list = h(pattern === BULLET ? "ul" : "ol");
      if (pattern === NUMBERED) list.start = Number(NUMBERED.exec(line)[1]);
      for (; i < lines.length && pattern.test(lines[i]); i += 1)
        list.append(h("li", {}, inline(pattern.exec(lines[i]).at(-1), cite)));
      i -= 1;
      out.push(list);
    } else {
      paragraph.push(line);
    }
  }
  close();
  return out;
}

function table(rows, cite) {
  const cells = rows.map((row) => ROW.exec(row)[1].split("|").map((cell) => cell.trim()));
  const [head, ...body] = cells;
  return h(
    "div",
    { class: "table-scroll", tabindex: "0" },
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, head.map((cell) => (cell === "" ? h("td") : h("th", { scope: "col" }, inline(cell, cite)))))),
      h("tbody", {}, body.map((row) => h("tr", {}, row.map((cell, n) => (n === 0 ? h("th", { scope: "row" }, inline(cell, cite)) : h("td", {}, inline(cell, cite))))))),
    ),
  );
}

function inline(text, cite) {
  const out = [];
  const pattern = /\*\*([^*\n]+)\*\*|\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]/g;
  let from = 0;
  for (const found of text.matchAll(pattern)) {
    out.push(text.slice(from, found.index));
    from = found.index + found[0].length;
    if (found[1] !== undefined) {
      out.push(h("strong", {}, inline(found[1], cite)));
    } else {
      const marks = found[2].split(",").map((n) => cite(Number(n)));
      out.push(...(marks.every(Boolean) ? marks : [found[0]]));
    }
  }
  out.push(text.slice(from));
  return out.flat();
}

/** The numbers that `text` cites. */
export function cited(text) {
  const numbers = new Set();
  for (const found of text.matchAll(/\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]/g))
    for (const n of found[1].split(",")) numbers.add(Number(n));
  return numbers;
}
