// What keeps the tenants apart, and whether it does: the audit, the probe, the questions that the server asks itself, how requests
// ended, what was refused and why.

import { copyButton, fill, h } from "../../dom.js";
import { DASH, number, percent, visible } from "../../format.js";
import { has } from "../../i18n.js";
import { failure } from "../failure.js";
import { button, moment } from "../parts.js";
import { facts, meter, part, tenantText, verdict } from "../pieces.js";
import { only, scope } from "../router.js";
import { table } from "../table.js";
import { span } from "../units.js";

// What keeps tenants apart is looked at as a whole.
export const tenanted = false;

/** How a state of the canaries looks. */
const CANARY = { ok: "good", leak: "bad", inconclusive: "warn", waiting: "accent", off: "" };
/** How what is lost at a step looks. */
const TONES = { refused: "warn", broken: "bad", fail_closed: "bad", abstained: "warn" };

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
  // Everything here is of all tenants, and so is what it leads to.
  const logs = (patch) => tools.link("logs", { ...only(), tenant_id: "", route: "", channel: "", model: "", ...patch });
  return [
    h("div", { class: "toolbar" }, h("p", { class: "small", i18n: "isolation_about" }), h("span", { class: "spring" }), check),
    said,
    h(
      "div",
      { class: "cards" },
      card("boot_audit", found.audit, "boot_audit_about"),
      card("canary_probe", found.probe, "canary_probe_about"),
      canaryCard(found.canary),
      card("violations", { ok: violations.length === 0 }, "violations_about", number(violations.length)),
    ),
    findings([...found.audit.findings, ...found.probe.findings]),
    canaryChecks(found.canary, tools),
    found.funnel && funnel(found.funnel, logs, tools),
    failClosed(found, logs, tools),
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

// --- the questions that the server asks itself ---

const canaryState = ({ enabled, state }) => (!enabled ? "off" : Object.hasOwn(CANARY, state) ? state : "waiting");

function canaryCard(canary) {
  if (!canary) return null;
  const state = canaryState(canary);
  return h(
    "section",
    { id: "canary", class: `card-small ${CANARY[state]}` },
    h("h2", { i18n: "canary" }),
    h("p", { class: "line" }, h("span", { class: `badge ${CANARY[state]}`, i18n: `canary_${state}` }), canary.enabled && canary.at && [h("span", { class: "spring" }), moment(canary.at)]),
    h("p", { class: "small", i18n: canary.enabled ? "canary_about" : "canary_off_about" }),
  );
}

function canaryChecks(canary, tools) {
  if (!canary?.enabled) return null;
  const checks = canary.checks ?? [];
  const columns = [
    { key: "canary_check", kind: "title", cell: (row) => (has(`canary_${row.name}`) ? h("span", { i18n: `canary_${row.name}` }) : h("code", {}, visible(row.name))) },
    { key: "status", cell: (row) => (row.ok === null || row.ok === undefined ? h("span", { class: "badge", i18n: "not_checked" }) : verdict(row.ok)) },
    { key: "tenant", cell: (row) => h("code", {}, visible(row.tenant)) },
    { key: "detail", kind: "wide", cell: (row) => (row.detail ? visible(row.detail) : DASH) },
    { key: "trace", cell: (row) => (row.trace_id ? button("open", () => tools.openTrace(row.trace_id), { kind: "link" }) : DASH) },
  ];
  return part(
    "canary",
    [],
    facts(
      ["canary_next", moment(canary.next_at)],
      ["canary_interval", span(canary.interval_s)],
      ["canary_rotated", moment(canary.rotated_at)],
      ["canary_rounds", number(canary.rounds)],
    ),
    checks.length > 0 && h("section", { class: "list" }, table(columns, checks, { label: "canary" })),
  );
}

// --- how requests ended ---

/** A share, of which even the smallest is not nothing. */
const share = (fraction) => (fraction > 0 && fraction < 0.001 ? `< ${percent(0.001)}` : percent(fraction));

/** From all requests to those that were answered: what was lost where, and why. */
function funnel(all, logs, tools) {
  if (all.asked === 0) return part("funnel_title", [], h("div", { class: "empty" }, h("p", { class: "headline", i18n: "empty_range" })));
  const row = (name, { left = 0, lost = 0, tone = "", kind = "", link }, ...more) =>
    h(
      "li",
      { class: kind },
      h("span", { class: "name" }, link ? h("a", { href: link, i18n: name }) : h("span", { i18n: name })),
      bar(left / all.asked, lost / all.asked, tone, ["funnel_bar", { left: number(left), lost: number(lost) }]),
      h("span", { class: "figure" }, number(lost || left)),
      h("span", { class: "figure share" }, share((lost || left) / all.asked)),
      ...more,
    );
  const steps = all.steps.map((step) => {
    const [first, ...others] = step.parts;
    const link = step.count > 0 && first && others.every((one) => one.status === first.status) ? logs({ status: first.status, reason: "" }) : null;
    return row(
      `funnel_${step.name}`,
      { left: step.left, lost: step.count, tone: TONES[step.name] ?? "bad", link, kind: step.count === 0 ? "few" : "" },
      step.parts.length > 0 && h("ul", { class: "funnel-parts" }, step.parts.map((one) => h("li", {}, h("a", { href: logs({ status: one.status, reason: one.reason ?? "" }) }, one.reason ? h("code", {}, visible(one.reason)) : h("span", { i18n: `status_${one.status}` })), " ", h("span", { class: "figure" }, number(one.count)), " ", h("span", { class: "small" }, share(one.share))))),
      step.told_apart < step.count && h("p", { class: "small", i18n: ["fail_closed_newest", { counted: number(step.told_apart), total: number(step.count) }] }),
    );
  });
  return part(
    "funnel_title",
    [h("a", { class: "button", href: logs({ status: "" }), i18n: "open_logs" })],
    h("p", { class: "small", i18n: "funnel_about" }),
    h("ul", { id: "funnel", class: "funnel steps" }, row("funnel_asked", { left: all.asked }), steps, row("funnel_answered", { left: all.answered, tone: "good", link: logs({ status: "SUCCESS" }) })),
    all.tenants.length > 0 && h("section", { class: "list" }, byTenant(all, logs, tools)),
    all.by_tenant === false && h("p", { class: "small", i18n: "funnel_together" }),
  );
}

/** What is left, and behind it what is lost. */
function bar(left, lost, tone, label) {
  const piece = (fraction, tone) => {
    const bar = h("i", { class: tone });
    // Set through the object model: the page's policy allows no style attributes.
    bar.style.width = `${Math.min(Math.max(fraction, 0), 1) * 100}%`;
    return bar;
  };
  return h("div", { class: "meter two", role: "img", label }, left > 0 && piece(left, lost > 0 || tone !== "good" ? "" : "good"), lost > 0 && piece(lost, tone));
}

function byTenant({ tenants, other }, logs, tools) {
  const count = (row, name) => row.steps.find((step) => step.name === name)?.count ?? 0;
  const figure = (name, status) => ({
    key: `funnel_${name}`,
    kind: "figure",
    cell: (row) => {
      const lost = count(row, name);
      return lost > 0 && status && row.tenant_id ? h("a", { href: logs({ status, tenant_id: row.tenant_id }) }, number(lost)) : number(lost);
    },
  });
  const columns = [
    { key: "tenant", kind: "title", cell: (row) => (row.tenant_id ? h("a", { href: logs({ status: "", tenant_id: row.tenant_id }) }, tenantText(row, tools)) : h("span", { i18n: ["funnel_others", { n: number(row.tenant_count) }] })) },
    { key: "funnel_asked", kind: "figure", cell: (row) => number(row.asked) },
    figure("refused"),
    figure("broken"),
    figure("fail_closed", "FAIL_CLOSED"),
    figure("abstained", "ABSTAINED"),
    { key: "funnel_answered", kind: "figure", cell: (row) => [number(row.answered), " ", h("span", { class: "small" }, percent(row.answered_share))] },
  ];
  return table(columns, [...tenants, ...(other ? [other] : [])], { label: "funnel_title" });
}

/** Requests that were refused rather than answered unsafely: by reason, and whose they were. */
function failClosed({ fail_closed: rows, total, counted }, logs, tools) {
  const reasons = new Map();
  for (const row of rows) reasons.set(row.reason, (reasons.get(row.reason) ?? 0) + row.count);
  const most = Math.max(...reasons.values(), 1);
  if (rows.length === 0) return part("fail_closed_title", [], h("div", { class: "empty" }, h("p", { class: "headline", i18n: "fail_closed_none" }), h("p", { i18n: "fail_closed_none_hint" })));
  const closed = (patch) => logs({ status: "FAIL_CLOSED", ...patch });
  const columns = [
    { key: "reason", kind: "title", cell: (row) => h("a", { href: closed({ reason: row.reason, tenant_id: row.tenant_id }) }, h("code", {}, visible(row.reason))) },
    { key: "tenant", cell: (row) => tenantText(row, tools) },
    { key: "count", kind: "figure", cell: (row) => number(row.count) },
    { key: "last", kind: "nowrap", cell: (row) => moment(row.last_at) },
    { key: "sample", cell: (row) => button("open", () => tools.openTrace(row.sample_trace_id), { kind: "link" }) },
  ];
  return part(
    "fail_closed_title",
    [h("a", { class: "button", href: closed({}), i18n: "open_logs" })],
    h("p", { class: "small", i18n: "fail_closed_about" }),
    counted < total && h("p", { class: "small", i18n: ["fail_closed_newest", { counted: number(counted), total: number(total) }] }),
    h(
      "ul",
      { class: "funnel" },
      [...reasons].sort((a, b) => b[1] - a[1]).map(([reason, count]) => h("li", {}, h("a", { href: closed({ reason }) }, h("code", {}, visible(reason))), meter(count / most, ["requests_n", { n: number(count) }], "bad"), h("span", { class: "figure" }, number(count)))),
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
