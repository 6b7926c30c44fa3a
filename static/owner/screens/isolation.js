// What keeps the tenants apart, and whether it does: the audit, the probe, what was refused and why.

import { copyButton, fill, h } from "../../dom.js";
import { number, visible } from "../../format.js";
import { failure } from "../failure.js";
import { button, moment } from "../parts.js";
import { meter, part, tenantText, verdict } from "../pieces.js";
import { scope } from "../router.js";
import { table } from "../table.js";

// What keeps tenants apart is looked at as a whole.
export const tenanted = false;

export async function load(state, signal, tools) {
  const found = await tools.get("/isolation", { ...scope(state), tenant_id: "" });
  const { violations } = found;
  const said = h("div");
  const check = button(
    "check_now",
    async () => {
      check.disabled = true;
      fill(said);
      try {
        await tools.post("/isolation/check");
        await tools.reload();
      } catch (problem) {
        fill(said, failure(problem));
      } finally {
        check.disabled = false;
      }
    },
    { kind: "button primary", id: "check-now" },
  );
  return [
    h("div", { class: "toolbar" }, h("p", { class: "small", i18n: "isolation_about" }), h("span", { class: "spring" }), check),
    said,
    h(
      "div",
      { class: "cards" },
      card("boot_audit", found.audit, "boot_audit_about"),
      card("canary_probe", found.probe, "canary_probe_about"),
      card("violations", { ok: violations.length === 0 }, "violations_about", number(violations.length)),
    ),
    findings([...found.audit.findings, ...found.probe.findings]),
    funnel(found, tools),
    violations.length > 0 && part("violations", [], foreign(violations, tools)),
  ];
}

function card(title, { ok, at }, about, value) {
  return h(
    "section",
    { class: `card-small ${ok ? "good" : "bad"}` },
    h("h2", { i18n: title }),
    h("p", { class: "line" }, verdict(ok), value && h("strong", {}, value), at && [h("span", { class: "spring" }), moment(at)]),
    h("p", { class: "small", i18n: about }),
  );
}

function findings(list) {
  if (list.length === 0) return null;
  return part(
    "findings",
    [],
    h("ul", { class: "lines tall" }, list.map((one) => h("li", {}, h("p", {}, visible(one.what)), one.mend && h("div", { class: "command" }, h("pre", { tabindex: "0" }, visible(one.mend)), copyButton(one.mend, null, "copy_command"))))),
  );
}

/** Requests that were refused rather than answered unsafely: by reason, and whose they were. */
function funnel({ fail_closed: rows, total, counted }, tools) {
  const reasons = new Map();
  for (const row of rows) reasons.set(row.reason, (reasons.get(row.reason) ?? 0) + row.count);
  const most = Math.max(...reasons.values(), 1);
  if (rows.length === 0) return part("fail_closed_title", [], h("div", { class: "empty" }, h("p", { class: "headline", i18n: "fail_closed_none" }), h("p", { i18n: "fail_closed_none_hint" })));
  const logs = (patch) => tools.link("logs", { status: "FAIL_CLOSED", ...patch });
  const columns = [
    { key: "reason", kind: "title", cell: (row) => h("a", { href: logs({ reason: row.reason, tenant_id: row.tenant_id }) }, h("code", {}, visible(row.reason))) },
    { key: "tenant", cell: (row) => tenantText(row, tools) },
    { key: "count", kind: "figure", cell: (row) => number(row.count) },
    { key: "last", kind: "nowrap", cell: (row) => moment(row.last_at) },
    { key: "sample", cell: (row) => button("open", () => tools.openTrace(row.sample_trace_id), { kind: "link" }) },
  ];
  return part(
    "fail_closed_title",
    [h("a", { class: "button", href: logs({}), i18n: "open_logs" })],
    h("p", { class: "small", i18n: "fail_closed_about" }),
    counted < total && h("p", { class: "small", i18n: ["fail_closed_newest", { counted: number(counted), total: number(total) }] }),
    h(
      "ul",
      { class: "funnel" },
      [...reasons].sort((a, b) => b[1] - a[1]).map(([reason, count]) => h("li", {}, h("a", { href: logs({ reason }) }, h("code", {}, visible(reason))), meter(count / most, ["requests_n", { n: number(count) }], "bad"), h("span", { class: "figure" }, number(count)))),
    ),
    h("section", { class: "list" }, table(columns, rows, { label: "fail_closed_title" })),
  );
}

function foreign(list, tools) {
  const columns = [
    { key: "time", kind: "nowrap", cell: (row) => moment(row.ts) },
    { key: "tenant", kind: "title", cell: (row) => tenantText(row, tools) },
    { key: "trace", cell: (row) => button("open", () => tools.openTrace(row.trace_id), { kind: "link" }) },
  ];
  return h("section", { class: "list" }, table(columns, list, { label: "violations" }));
}
