// The overview: what happened in the range, and where to look next.

import { h } from "../../dom.js";
import { millis, number, percent } from "../../format.js";
import { scope } from "../router.js";

// Below this many ratings or requests a rate says little, and is greyed.
const FEW = 20;

export async function load(state, signal, tools) {
  const figures = await tools.get("/metrics", scope(state, { closed: true }));
  tools.zone(figures.zone);
  return h("dl", { class: "tiles", label: "metrics" }, tiles(figures));
}

function tiles(m) {
  const errors = percent(m.error_requests / m.total_requests);
  return [
    tile("tile_requests", number(m.total_requests)),
    tile("tile_errors", number(m.error_requests), m.total_requests > 0 ? ["tile_errors_of", { percent: errors, n: number(m.total_requests) }] : null, m.total_requests < FEW),
    tile("tile_p50", millis(m.p50_ms)),
    tile("tile_p95", millis(m.p95_ms)),
    tile("tile_satisfaction", percent(m.satisfaction_rate), ["tile_ratings", { n: m.feedback_total }], m.feedback_total < FEW),
    tile("tile_handoffs", number(m.handoff_count), m.handoff_rate === null ? null : ["tile_handoff_rate", { percent: percent(m.handoff_rate) }], m.total_requests < FEW),
  ];
}

function tile(name, value, note, faint = false) {
  return h("div", { class: faint ? "tile faint" : "tile" }, h("dt", { i18n: name }), h("dd", { class: "value" }, value), note ? h("dd", { class: "note", i18n: note }) : null);
}
