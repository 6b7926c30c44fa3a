// How the server itself is doing: what waits to be written, what it keeps, what it stands on.

import { h } from "../../dom.js";
import { DASH, millis, number, visible } from "../../format.js";
import { moment } from "../parts.js";
import { facts, meter, part, tile, tiles, verdict } from "../pieces.js";
import { table } from "../table.js";
import { bytes, span } from "../units.js";

export const dated = false;

// A queue this full, or rows this late, are worth a look.
const NEARLY_FULL = 0.8;
const LATE_S = 60;

export async function load(state, signal, tools) {
  const now = await tools.get("/system");
  tools.zone(now.zone);
  const { trace } = now;
  const used = trace.journal_limit ? trace.journal_bytes / trace.journal_limit : 0;
  return [
    tiles(
      tile("trace_queued", number(trace.queued)),
      tile("trace_lag", trace.lag_s === null ? DASH : late(trace.lag_s), "trace_lag_about", trace.lag_s > LATE_S ? "warn" : ""),
      tile("trace_written", number(trace.written)),
      tile("trace_refused", number(trace.refused), null, trace.refused > 0 ? "bad" : ""),
      tile("trace_dropped", number(trace.dropped), null, trace.dropped > 0 ? "bad" : ""),
    ),
    h(
      "div",
      { class: "columns" },
      part("dependencies", [], dependencies(now.dependencies)),
      part(
        "journal",
        [],
        meter(used, ["journal_used", { used: bytes(trace.journal_bytes), limit: bytes(trace.journal_limit) }], used > NEARLY_FULL ? "bad" : ""),
        h("p", { class: "small", i18n: ["journal_used", { used: bytes(trace.journal_bytes), limit: bytes(trace.journal_limit) }] }),
        partitions(now.partitions),
      ),
      part("migrations", [], migrations(now.migrations)),
      part(
        "build",
        [],
        facts(
          ["version", h("code", {}, visible(now.version))],
          ["build", now.build ? h("code", {}, visible(now.build)) : DASH],
          ["started", moment(now.started_at)],
          ["uptime", span(now.uptime_s)],
          ["zone", h("code", {}, visible(now.zone))],
          ["host_tz", now.host_tz ? h("code", {}, visible(now.host_tz)) : DASH],
        ),
      ),
    ),
  ];
}

const late = (seconds) => (seconds < 1 ? millis(seconds * 1000) : span(seconds));

function dependencies(list) {
  const columns = [
    { key: "name", kind: "title", cell: (row) => h("code", {}, visible(row.name)) },
    { key: "status", cell: (row) => (row.ok === null ? h("span", { class: "badge", i18n: "not_checked" }) : verdict(row.ok)) },
    { key: "latency", kind: "figure", cell: (row) => millis(row.latency_ms) },
    { key: "detail", cell: (row) => visible(row.detail) || DASH },
  ];
  return h("div", { class: "list" }, table(columns, list, { label: "dependencies" }));
}

function partitions(kept) {
  return facts(
    ["partitions", number(kept.count)],
    ["partitions_from", moment(kept.since)],
    ["partitions_to", moment(kept.until)],
    ["retention", typeof kept.retention_days === "number" ? h("span", { i18n: ["days_n", { n: kept.retention_days }] }) : h("span", { i18n: "retention_forever" })],
    ["size", bytes(kept.bytes)],
  );
}

function migrations(list) {
  const columns = [
    { key: "name", kind: "title", cell: (row) => h("code", {}, visible(row.set)) },
    { key: "version", kind: "nowrap", cell: (row) => row.version === null ? DASH : h("code", {}, String(row.version)) },
    { key: "status", cell: (row) => verdict(row.version === row.latest, "up_to_date", "behind") },
  ];
  return h("div", { class: "list" }, table(columns, list, { label: "migrations" }));
}
