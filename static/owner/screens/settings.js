// How the installation is set, where each value comes from and how to change it; and traffic to try the console with.

import { copyButton, fill, h } from "../../dom.js";
import { DASH, number, percent, visible } from "../../format.js";
import { ask } from "../dialog.js";
import { failure } from "../failure.js";
import { button } from "../parts.js";
import { meter, part } from "../pieces.js";
import { table } from "../table.js";

export const dated = false;

const POLL_MS = 1500;
const BUSY = ["filling", "removing"];

export async function load(state, signal, tools) {
  const [system, demo] = await Promise.all([tools.get("/system"), tools.get("/demo-data")]);
  tools.zone(system.zone);
  return [kept(system), (demo.tenants.length > 0 || demo.state !== "none") && demoData(demo, signal, tools), settings(system)];
}

/** What people ask about first: in which zone, for how long, what of it, and who may see it. */
function kept({ zone, partitions, settings }) {
  const by = (name) => settings.some((one) => one.name === name) && h("p", { class: "small" }, h("code", {}, name));
  const days = partitions.retention_days;
  return part(
    "kept_title",
    [],
    h(
      "div",
      { class: "cards" },
      fact("zone", h("code", {}, visible(zone)), "zone_about", by("RAG_TOWER_ZONE")),
      fact("retention", h("span", { i18n: days === null ? "retention_forever" : ["days_n", { n: number(days) }] }), "retention_about", by("RAG_TOWER_TRACE_RETENTION_DAYS")),
      fact("capture", h("span", { i18n: "capture_on" }), "capture_about"),
      fact("masks", h("span", { i18n: "masks_on" }), "masks_about"),
    ),
  );
}

function fact(title, value, about, more) {
  return h("section", { class: "card-small" }, h("h2", { i18n: title }), h("p", {}, h("strong", {}, value)), h("p", { class: "small", i18n: about }), more);
}

function settings({ settings }) {
  const columns = [
    { key: "name", kind: "title", cell: (row) => h("span", { class: "line" }, h("code", {}, visible(row.name)), copyButton(`${row.name}=${row.value ?? ""}`, null, "copy_setting")) },
    { key: "value", cell: (row) => (row.value === null ? h("span", { class: "few", i18n: "not_set" }) : h("code", {}, visible(row.value))) },
    { key: "setting_source", cell: (row) => (row.source ? h("span", { class: "badge" }, visible(row.source)) : DASH) },
    { key: "about", cell: (row) => visible(row.about) || DASH },
  ];
  return part(
    "settings_title",
    [],
    h("p", { class: "small", i18n: "settings_about" }),
    h("section", { class: "list" }, table(columns, settings, { label: "settings_title" })),
  );
}

// --- demo data ---

function demoData(first, signal, tools) {
  const place = h("div", { class: "demo", "aria-live": "polite" });
  let timer = 0;
  const draw = (now) => {
    clearTimeout(timer);
    fill(place, shown(now));
    if (!BUSY.includes(now.state) || now.stopped) return;
    timer = setTimeout(async () => {
      try {
        if (!signal.aborted) draw(await tools.get("/demo-data", {}, signal));
      } catch (problem) {
        if (!signal.aborted) fill(place, failure(problem, () => draw(now)));
      }
    }, POLL_MS);
  };
  const start = async (title, about, send, danger) => {
    const answer = await ask({ title, go: title, danger, about: [h("p", { i18n: about })], send });
    if (!answer) return;
    try {
      draw(await tools.get("/demo-data", {}, signal));
    } catch (problem) {
      if (!signal.aborted) fill(place, failure(problem, tools.reload));
    }
  };
  const shown = (now) => {
    const done = now.rows > 0 ? now.done / now.rows : 0;
    return [
      h("p", { class: "line" }, h("span", { class: `badge ${now.state === "there" ? "accent" : ""}`, i18n: `demo_${now.state}` }), now.rows > 0 && h("span", { class: "small", i18n: ["demo_rows", { n: number(now.rows) }] })),
      BUSY.includes(now.state) && [meter(done, ["demo_progress", { percent: percent(done) }]), h("p", { class: "small", i18n: ["demo_progress", { percent: percent(done) }] })],
      h(
        "div",
        { class: "actions" },
        now.stopped && h("p", { class: "small", i18n: "demo_stopped" }),
        (now.state === "none" || (now.stopped && now.state === "filling")) && button("demo_fill", () => start("demo_fill", "demo_fill_about", () => tools.post("/demo-data")), { kind: "button primary", id: "demo-fill" }),
        (now.state === "there" || now.stopped) && button("demo_remove", () => start("demo_remove", "demo_remove_about", () => tools.remove("/demo-data"), true), { kind: "button danger", id: "demo-remove" }),
      ),
    ];
  };
  draw(first);
  return part("demo_title", [], h("p", { class: "small", i18n: "demo_about" }), place);
}
