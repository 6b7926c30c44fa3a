// The list of people who wait for a person.

import { h } from "./dom.js";
import { DASH, visible } from "./format.js";
import { cell, moment, statusBadge, table } from "./owner-parts.js";

const COLUMNS = {
  time: { key: "time", kind: "nowrap" },
  tenant: { key: "tenant" },
  branch: { key: "branch", kind: "nowrap" },
  phone: { key: "phone", kind: "nowrap" },
  message: { key: "message", kind: "wide" },
  status: { key: "status" },
};

/** The table of `items`; `tenantName(id)` gives a tenant's name. Phones come masked from the server. */
export function handoffsTable(items, tenantName) {
  const rows = items.map((item) =>
    h(
      "tr",
      {},
      cell(COLUMNS.time, moment(item.ts)),
      cell(COLUMNS.tenant, h("bdi", {}, visible(tenantName(item.tenant_id)))),
      cell(COLUMNS.branch, visible(item.branch_id) || DASH),
      cell(COLUMNS.phone, visible(item.phone) || DASH),
      cell(COLUMNS.message, h("span", { class: "message", dir: "auto" }, visible(item.message))),
      cell(COLUMNS.status, statusBadge(item.status)),
    ),
  );
  return table(Object.values(COLUMNS), rows);
}
