// Values over time: buckets and series in, a chart out. A drag picks a range, a click a bucket.

import uPlot from "../../vendor/uplot.js";
import { fill, h } from "../../dom.js";
import { when, zone } from "../../format.js";
import { colour, onTheme } from "./theme.js";

const DAY = 86_400;

/**
 * `buckets`: [{ ts, until }], one after the other. `series`: [{ name, values, colour (a CSS variable), dash? }].
 * `stacked` draws bars on top of each other, else lines. `format(value)` writes a value.
 * `summary`: what a screen reader is told. `range(since, until)` and `bucket(bucket)` are called with a choice.
 */
export function timeChart({ buckets, series, stacked = false, format, summary, height = 190, range, bucket }) {
  const holder = h("div", { class: "chart", dir: "ltr", role: "img", "aria-label": summary });
  const tip = h("div", { class: "tip", hidden: true });
  const from = buckets.map((one) => Date.parse(one.ts) / 1000);
  const to = buckets.map((one) => Date.parse(one.until) / 1000);
  const middle = from.map((at, n) => (at + to[n]) / 2);
  let plot = null;

  const draw = () => {
    const width = holder.clientWidth;
    if (!holder.isConnected || width < 40) return;
    plot?.destroy();
    plot = new uPlot(options(width), [middle, ...drawn()], holder);
    plot.over.append(tip);
  };

  // The highest bar is drawn first and the lower ones over it.
  const order = stacked ? series.map((_, n) => series.length - 1 - n) : series.map((_, n) => n);
  const drawn = () => {
    if (!stacked) return order.map((n) => series[n].values);
    const sums = [];
    series.forEach(({ values }, n) => sums.push(values.map((value, at) => value + (n > 0 ? sums[n - 1][at] : 0))));
    return order.map((n) => sums[n]);
  };

  const options = (width) => ({
    width,
    height,
    padding: [8, 18, 0, 0],
    legend: { show: false },
    tzDate: (at) => uPlot.tzDate(new Date(at * 1000), zone()),
    scales: { x: { time: true, range: () => [from[0], to[to.length - 1]] }, y: { range: (_, least, most) => [0, most > 0 ? most * 1.08 : 1] } },
    cursor: { y: false, points: { show: !stacked }, drag: { x: true, y: false, setScale: false } },
    axes: [
      axis({ space: 70, size: 26, values: (_, splits) => labels(splits) }),
      axis({ size: 56, space: 34, values: (_, splits) => splits.map((value) => (value === null ? "" : format(value))), grid: { stroke: colour("--line"), width: 1 } }),
    ],
    series: [
      {},
      ...order.map((n) => ({
        label: series[n].name,
        stroke: stacked ? null : colour(series[n].colour),
        fill: stacked ? colour(series[n].colour) : undefined,
        width: stacked ? 0 : 1.6,
        dash: series[n].dash,
        points: { show: false },
        spanGaps: false,
        paths: stacked ? uPlot.paths.bars({ size: [0.82, 34] }) : undefined,
      })),
    ],
    hooks: {
      setCursor: [(u) => point(u)],
      setSelect: [
        (u) => {
          const { left, width } = u.select;
          if (width < 6) return;
          const [a, b] = [left, left + width].map((x) => u.posToVal(x, "x"));
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          range?.(Math.floor(a), Math.ceil(b));
        },
      ],
      ready: [
        (u) => {
          let pressed = 0;
          u.over.addEventListener("mousedown", (event) => (pressed = event.clientX));
          u.over.addEventListener("click", (event) => {
            if (Math.abs(event.clientX - pressed) < 4 && u.cursor.idx !== null && u.cursor.idx !== undefined) bucket?.(buckets[u.cursor.idx]);
          });
          u.over.classList.toggle("picks", Boolean(bucket));
        },
      ],
    },
  });

  const point = (u) => {
    const at = u.cursor.idx;
    tip.hidden = at === null || at === undefined || u.cursor.left < 0;
    if (tip.hidden) return;
    const rows = series.map(({ name, values, colour }) => ({ name, value: values[at], colour })).filter(({ value }) => value !== null && value !== undefined && !(stacked && value === 0));
    if (stacked) rows.reverse();
    fill(
      tip,
      h("p", {}, span(buckets[at])),
      rows.map(({ name, value, colour }) => {
        const dot = h("i", {});
        dot.style.background = `var(${colour})`;
        return h("p", { class: "line" }, dot, h("span", {}, name), h("b", {}, format(value)));
      }),
    );
    const right = u.cursor.left > u.over.clientWidth / 2;
    tip.style.insetInlineStart = right ? "auto" : `${u.cursor.left + 12}px`;
    tip.style.insetInlineEnd = right ? `${u.over.clientWidth - u.cursor.left + 12}px` : "auto";
  };

  let width = 0;
  new ResizeObserver(([entry], observer) => {
    if (!holder.isConnected && plot) {
      plot.destroy();
      observer.disconnect();
    } else if (Math.abs(entry.contentRect.width - width) > 1) {
      width = entry.contentRect.width;
      draw();
    }
  }).observe(holder);
  onTheme(holder, draw);
  holder.style.height = `${height}px`;
  return holder;
}

function axis(more) {
  const line = { stroke: colour("--line"), width: 1 };
  return { stroke: colour("--muted"), font: `11px ${getComputedStyle(document.body).fontFamily}`, grid: { show: false }, ticks: { ...line, size: 4 }, border: { ...line, show: false }, gap: 4, ...more };
}

// Days where a day begins, else hours.
function labels(splits) {
  const wide = splits.length > 1 && splits[1] - splits[0] >= DAY / 2;
  let day = "";
  return splits.map((at) => {
    const date = when(at, "day");
    const shown = wide || (day && date !== day) ? date : when(at, "minute");
    day = date;
    return shown;
  });
}

/** A bucket's time in words. */
export function span({ ts, until }) {
  const long = Date.parse(until) - Date.parse(ts) >= (DAY - 7200) * 1000;
  return long ? when(ts, "day") : `${when(ts, "short")} – ${when(until, "minute")}`;
}
