// The list of requests.

import { h } from "./dom.js";
import { DASH, millis, number, visible } from "./format.js";
import { has } from "./i18n.js";
import { cell, moment, statusBadge, table } from "./owner-parts.js";

const COLUMNS = {
  time: { key: "time", kind: "nowrap" },
  tenant: { key: "tenant", kind: "nowrap" },
  question: { key: "question", kind: "wide" },
  route: { key: "route" },
  status: { key: "status" },
  latency: { key: "latency", kind: "figure" },
  sources: { key: "sources_count", kind: "figure" },
  channel: { key: "channel" },
};

/** The table of `items`; `open(trace_id)` shows one of them. */
export function logsTable(items, open) {
  const rows = items.map((item) =>
    h(
      "tr",
      { class: "opens", on: { click: () => open(item.trace_id) } },
      cell(COLUMNS.time, moment(item.ts)),
      cell(COLUMNS.tenant, h("bdi", {}, visible(item.tenant ?? item.tenant_id))),
      cell(COLUMNS.question, opener(item, open)),
      cell(COLUMNS.route, routeName(item.route)),
      cell(COLUMNS.status, statusBadge(item.status)),
      cell(COLUMNS.latency, millis(item.latency_ms)),
      cell(COLUMNS.sources, number(item.sources_count)),
      cell(COLUMNS.channel, visible(item.channel)),
    ),
  );
  return table(Object.values(COLUMNS), rows);
}

function opener(item, open) {
  const click = (event) => {
    event.stopPropagation();
    open(item.trace_id);
  };
  const text = visible(item.question_preview) || DASH;
  return h("button", { type: "button", class: "opener", dir: "auto", data: { trace: item.trace_id }, on: { click } }, text);
}

export function routeName(route) {
  if (!route) return DASH;
  const key = `route_${route}`;
  return has(key) ? h("span", { i18n: key, title: route }) : h("bdi", {}, visible(route));
}

/** The command that makes a first request on this server. */
export function firstRequest() {
  return [
    `curl -s ${location.origin}/query \\`,
    `  -H 'Authorization: Bearer YOUR_KEY' \\`,
    `  -H 'Content-Type: application/json' \\`,
    `  -d '{"question": "Which IELTS courses do you have?"}'`,
  ].join("\n");
}
