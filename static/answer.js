// An answer's Markdown as elements: paragraphs, headings, lists, tables, code, emphasis, links and
// citations. Built node by node from text, never parsed as HTML; nothing here loads anything.

import { h } from "./dom.js";
import { visible } from "./format.js";

const ITEM = /^(\s*)(?:[-*+•]|(\d{1,3})[.)])\s+(.*)$/;
const HEADING = /^\s*(#{1,6})\s+(.*)$/;
const FENCE = /^\s*(`{3,}|~{3,})[^`]*$/;
const RULER = /^\s*([-*_])(?:\s*\1){2,}\s*$/;
const ROW = /^\s*\|(.+)\|\s*$/;
const RULE = /^\s*\|[\s:|-]+\|\s*$/;

// In the order of their right: code, an image (which stays text), a link, a citation, bold, italic, an
// escaped sign. Each looks no further than the next sign of its own, so that no text takes long.
const INLINE = new RegExp(
  [
    /`([^`\n]+)`/u,
    /(!\[[^[\]\n]*\]\([^()\n]*\))/u,
    /\[([^[\]\n]+)\]\((https?:\/\/[^\s()<>"]+)\)/u,
    /\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]/u,
    /\*\*(?!\s)([^*\n]+(?:\*[^*\n]+\*[^*\n]*)?)(?<!\s)\*\*/u,
    /(?<![\p{L}\p{N}*])\*(?![\s*])([^*\n]+)(?<!\s)\*(?![\p{L}\p{N}*])/u,
    /(?<![\p{L}\p{N}_])_(?![\s_])([^_\n]+)(?<!\s)_(?![\p{L}\p{N}_])/u,
    /\\([\\`*_[\]()#|~+.!>-])/u,
  ]
    .map((part) => part.source)
    .join("|"),
  "gu",
);

/** Blocks of `text`; `cite(n)` gives the element for citation n, or null when there is no such source. */
export function blocks(text, cite) {
  const out = [];
  const lines = visible(text).split("\n");
  let paragraph = [];
  const put = (...elements) => {
    if (paragraph.length) out.push(h("p", {}, inline(paragraph.join("\n"), cite)));
    paragraph = [];
    out.push(...elements);
  };
  for (let i = 0; i < lines.length; i += 1) {
    const line = lines[i];
    if (line.trim() === "") {
      put();
    } else if (FENCE.test(line)) {
      const [code, next] = fenced(lines, i);
      put(code);
      i = next - 1;
    } else if (HEADING.test(line)) {
      const [, signs, title] = HEADING.exec(line);
      // Below the page's own headings.
      put(h(`h${Math.min(signs.length + 2, 6)}`, {}, inline(title, cite)));
    } else if (RULER.test(line)) {
      put(h("hr"));
    } else if (ROW.test(line) && RULE.test(lines[i + 1] ?? "")) {
      const rows = [line];
      for (i += 2; i < lines.length && ROW.test(lines[i]); i += 1) rows.push(lines[i]);
      i -= 1;
      put(table(rows, cite));
    } else if (ITEM.test(line)) {
      const [element, next] = list(lines, i, cite);
      put(element);
      i = next - 1;
    } else {
      paragraph.push(line);
    }
  }
  put();
  return out;
}

/** The code from line `from` on, and the line after it. A fence that is still open ends with the text. */
function fenced(lines, from) {
  const fence = FENCE.exec(lines[from])[1];
  const indent = lines[from].search(/\S/);
  const closes = (line) => line.startsWith(fence) && line === fence[0].repeat(line.length);
  let to = from + 1;
  while (to < lines.length && !closes(lines[to].trim())) to += 1;
  const code = lines.slice(from + 1, to).map((line) => line.slice(Math.min(indent, Math.max(line.search(/\S/), 0))));
  return [h("pre", { tabindex: "0" }, h("code", {}, code.join("\n"))), to + 1];
}

/** The list from line `from` on, with the lists inside its items, and the line after it. */
function list(lines, from, cite) {
  const [, space, number] = ITEM.exec(lines[from]);
  const element = h(number === undefined ? "ul" : "ol", number === undefined ? {} : { start: number });
  let [i, item] = [from, null];
  while (i < lines.length) {
    // One empty line may stand between items.
    const at = lines[i].trim() === "" && ITEM.test(lines[i + 1] ?? "") ? i + 1 : i;
    const found = ITEM.exec(lines[at]);
    if (found && !RULER.test(lines[at]) && found[1].length > space.length + 1 && item) {
      const [inner, next] = list(lines, at, cite);
      item.append(inner);
      i = next;
    } else if (found && !RULER.test(lines[at]) && found[1].length + 1 >= space.length && (found[2] === undefined) === (number === undefined)) {
      item = h("li", {}, inline(found[3], cite));
      element.append(item);
      i = at + 1;
    } else if (!found && item && at === i && /^\s+\S/.test(lines[i]) && !FENCE.test(lines[i])) {
      item.append(...inline(`\n${lines[i].trim()}`, cite));
      i += 1;
    } else {
      break;
    }
  }
  return [element, i];
}

function table(rows, cite) {
  const cells = rows.map((row) => ROW.exec(row)[1].split(/(?<!\\)\|/).map((cell) => cell.trim()));
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
  let from = 0;
  for (const found of text.matchAll(INLINE)) {
    out.push(text.slice(from, found.index));
    from = found.index + found[0].length;
    const [whole, code, image, label, address, numbers, bold, star, line, sign] = found;
    if (code !== undefined) out.push(h("code", {}, code));
    else if (image !== undefined) out.push(image);
    else if (address !== undefined) out.push(link(label, address, cite));
    else if (numbers !== undefined) {
      const marks = numbers.split(",").map((n) => cite(Number(n)));
      out.push(...(marks.every(Boolean) ? marks : [whole]));
    } else if (bold !== undefined) out.push(h("strong", {}, inline(bold, cite)));
    else if (star !== undefined || line !== undefined) out.push(h("em", {}, inline(star ?? line, cite)));
    else out.push(sign);
  }
  out.push(text.slice(from));
  return out.flat();
}

/** A link that a reader may follow: it says where it leads, and that place learns nothing of this one. */
function link(label, address, cite) {
  if (!URL.canParse(address)) return `[${label}](${address})`;
  const { href, host, protocol } = new URL(address);
  if (protocol !== "https:" && protocol !== "http:") return `[${label}](${address})`;
  const where = label.includes(host) ? null : h("span", { class: "host" }, ` (${host})`);
  return h("a", { href, rel: "noopener noreferrer nofollow", target: "_blank" }, inline(label, cite), where);
}

/** The numbers that `text` cites. */
export function cited(text) {
  const numbers = new Set();
  for (const found of text.matchAll(/\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]/g))
    for (const n of found[1].split(",")) numbers.add(Number(n));
  return numbers;
}
