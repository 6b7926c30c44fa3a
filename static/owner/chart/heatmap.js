// Latency over time: how many requests took how long, as a grid of cells. A dragged box picks a time and a latency, and so do
// the arrow keys with Shift and Enter.

import { h } from "../../dom.js";
import { number, when } from "../../format.js";
import { t } from "../../i18n.js";
import { span } from "./time.js";
import { colour, onTheme } from "./theme.js";

const LEFT = 56;
const BOTTOM = 22;
const LEAST = 0.1;
const DRAGGED = 5;

/** `data`: the answer of /metrics/heatmap. `pick({ since, until, min_ms, max_ms })` is called with what was chosen. */
export function heatmap(data, pick, { height = 240 } = {}) {
  const { columns, cells, edges_ms: edges } = data;
  const rows = cells.map(([, row]) => row);
  // A row of room above and below what there is.
  const low = Math.max(Math.min(...rows, edges.length - 2) - 1, 0);
  const high = Math.min(Math.max(...rows, 0) + 1, edges.length - 2);
  const count = new Map(cells.map(([column, row, n]) => [column * edges.length + row, n]));
  const most = Math.max(...cells.map(([, , n]) => n), 1);
  const at = (column, row) => count.get(column * edges.length + row) ?? 0;

  const canvas = h("canvas", { "aria-hidden": "true" });
  const box = h("i", { class: "box-drawn", hidden: true });
  const tip = h("div", { class: "tip", hidden: true });
  const said = h("p", { class: "sr-only", role: "status" });
  const holder = h("div", { class: "chart heat", dir: "ltr", tabindex: "0", role: "application", label: "heatmap_label" }, canvas, box, tip, said);
  holder.style.height = `${height}px`;

  let wide = 0;
  const size = () => ({ x: (wide - LEFT) / columns.length, y: (height - BOTTOM) / (high - low + 1) });
  const cellAt = (x, y) => {
    const one = size();
    const clamp = (value, least, most) => Math.min(Math.max(value, least), most);
    return { column: clamp(Math.floor((x - LEFT) / one.x), 0, columns.length - 1), row: clamp(high - Math.floor(y / one.y), low, high) };
  };

  const draw = () => {
    wide = holder.clientWidth;
    if (!holder.isConnected || wide < LEFT * 2) return;
    const ratio = devicePixelRatio || 1;
    canvas.width = Math.round(wide * ratio);
    canvas.height = Math.round(height * ratio);
    const g = canvas.getContext("2d");
    g.scale(ratio, ratio);
    const one = size();
    g.fillStyle = colour("--accent");
    for (const [column, row, n] of cells) {
      g.globalAlpha = LEAST + (1 - LEAST) * (Math.log1p(n) / Math.log1p(most));
      const [x, y] = [LEFT + column * one.x, (high - row) * one.y];
      g.fillRect(x, y, Math.max(one.x - (one.x > 4 ? 1 : 0), 1), Math.max(one.y - 1, 1));
    }
    g.globalAlpha = 1;
    g.fillStyle = colour("--muted");
    g.font = `11px ${getComputedStyle(document.body).fontFamily}`;
    g.textAlign = "right";
    g.textBaseline = "middle";
    const every = Math.max(Math.ceil(24 / one.y), 1);
    for (let row = low; row <= high; row += every) g.fillText(short(edges[row]), LEFT - 8, (high - row + 1) * one.y - 1);
    g.textAlign = "center";
    g.textBaseline = "alphabetic";
    let last = -Infinity;
    for (const [column, text] of marks(columns)) {
      const x = LEFT + column * one.x;
      if (x - last < 64 || x > wide - 24) continue;
      g.fillText(text, Math.max(x, LEFT + 14), height - 6);
      last = x;
    }
  };

  const chosen = (a, b) => {
    const [first, last] = [Math.min(a.column, b.column), Math.max(a.column, b.column)];
    const [bottom, top] = [Math.min(a.row, b.row), Math.max(a.row, b.row)];
    return { first, last, bottom, top };
  };
  const show = (a, b) => {
    const one = size();
    const { first, last, bottom, top } = chosen(a, b);
    box.hidden = false;
    box.style.left = `${LEFT + first * one.x}px`;
    box.style.top = `${(high - top) * one.y}px`;
    box.style.width = `${(last - first + 1) * one.x}px`;
    box.style.height = `${(top - bottom + 1) * one.y}px`;
  };
  const words = (a, b) => {
    const { first, last, bottom, top } = chosen(a, b);
    let n = 0;
    for (let column = first; column <= last; column++) for (let row = bottom; row <= top; row++) n += at(column, row);
    const time = first === last ? span(columns[first]) : `${when(columns[first].ts, "short")} – ${when(columns[last].until, "short")}`;
    return [time, t("heatmap_cell", { from: short(edges[bottom]), to: short(edges[top + 1]), n: number(n) })];
  };
  const open = (a, b) => {
    const { first, last, bottom, top } = chosen(a, b);
    const seconds = (ts) => String(Math.floor(Date.parse(ts) / 1000));
    // The outermost rows stand for everything beyond, too. Counted latencies are known within one per cent, so that a box
    // leads to all that it counts.
    const least = bottom === 0 ? "" : String(Math.floor(edges[bottom] * 99) / 100);
    const longest = top === edges.length - 2 ? "" : String(Math.ceil(edges[top + 1] * 101) / 100);
    pick({ since: seconds(columns[first].ts), until: seconds(columns[last].until), min_ms: least, max_ms: longest });
  };

  // --- pointer ---
  let from = null;
  const place = (event) => {
    const bounds = holder.getBoundingClientRect();
    return { x: event.clientX - bounds.left, y: event.clientY - bounds.top };
  };
  const hint = (x, text) => {
    tip.hidden = false;
    tip.replaceChildren(...text.map((line) => h("p", {}, line)));
    const right = x > wide / 2;
    tip.style.left = right ? "auto" : `${x + 14}px`;
    tip.style.right = right ? `${wide - x + 14}px` : "auto";
  };
  holder.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const { x, y } = place(event);
    if (x < LEFT || y > height - BOTTOM) return;
    from = { x, y, cell: cellAt(x, y) };
    holder.setPointerCapture(event.pointerId);
    holder.focus({ preventScroll: true });
    event.preventDefault();
  });
  holder.addEventListener("pointermove", (event) => {
    const { x, y } = place(event);
    if (!from && (x < LEFT || y > height - BOTTOM)) {
      tip.hidden = true;
      return;
    }
    const cell = cellAt(x, y);
    if (from) show(from.cell, cell);
    hint(x, words(from?.cell ?? cell, cell));
  });
  holder.addEventListener("pointerup", (event) => {
    if (!from) return;
    const { x, y } = place(event);
    const began = from;
    from = null;
    const far = Math.hypot(x - began.x, y - began.y) >= DRAGGED;
    const end = cellAt(x, y);
    cursor = end;
    anchor = began.cell;
    if (far || at(end.column, end.row) > 0) open(began.cell, far ? end : began.cell);
  });
  holder.addEventListener("pointercancel", () => {
    from = null;
    box.hidden = true;
  });
  holder.addEventListener("pointerleave", () => (tip.hidden = true));

  // --- keyboard ---
  let cursor = null;
  let anchor = null;
  holder.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (event.key === "Enter" && cursor) return open(anchor, cursor);
    if (event.key === "Escape") {
      cursor = anchor = null;
      box.hidden = tip.hidden = true;
      return;
    }
    if (!by) return;
    event.preventDefault();
    cursor ??= { column: columns.length - 1, row: Math.round((low + high) / 2) };
    cursor = { column: Math.min(Math.max(cursor.column + by[0], 0), columns.length - 1), row: Math.min(Math.max(cursor.row + by[1], low), high) };
    if (!event.shiftKey || !anchor) anchor = cursor;
    show(anchor, cursor);
    const text = words(anchor, cursor);
    hint(LEFT + (cursor.column + 1) * size().x, text);
    said.textContent = text.join(", ");
  });
  holder.addEventListener("blur", () => {
    if (!from) tip.hidden = true;
  });

  new ResizeObserver(draw).observe(holder);
  onTheme(holder, draw);
  return holder;
}

// A latency in few letters.
const short = (ms) => (ms < 995 ? `${number(ms, { maximumSignificantDigits: 2 })} ms` : `${number(ms / 1000, { maximumSignificantDigits: 2 })} s`);

// Where days begin; hours where there are too few days.
function marks(columns) {
  const text = columns.map((column) => [when(column.ts, "day"), when(column.ts, "minute")]);
  const days = text.flatMap(([day], n) => (n > 0 && text[n - 1][0] !== day ? [[n, day]] : []));
  return days.length > 3 ? days : text.map(([day, time], n) => [n, n > 0 && text[n - 1][0] !== day ? day : time]);
}

/** The same as rows for a table, only those that hold something. */
export function heatmapRows({ columns, cells, edges_ms: edges }) {
  return [[t("time"), t("latency"), t("tile_requests")], ...cells.map(([column, row, n]) => [span(columns[column]), `${short(edges[row])} – ${short(edges[row + 1])}`, number(n)])];
}
