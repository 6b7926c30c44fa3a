// How the installation is set, where each value comes from and how to change it; and traffic to try the console with.

import { copyButton, fill, h } from "../../dom.js";
import { DASH, number, percent, visible } from "../../format.js";
import { ask } from "../dialog.js";
import { failure } from "../failure.js";
import { button } from "../parts.js";
import { facts, meter, part } from "../pieces.js";
import { table } from "../table.js";

export const dated = false;

const POLL_MS = 1500;
const BUSY = ["filling", "removing"];

export async function load(state, signal, tools) {
  const [system, demo] = await Promise.all([tools.get("/system"), tools.get("/demo-data").catch(missing)]);
  tools.zone(system.zone);
  return [demo && demoData(demo, signal, tools), settings(system)];
}

// A server without demo tenants has nothing to fill.
function missing(problem) {
  if (problem.status === 404) return null;
  throw problem;
}

function settings({ settings = [], zone }) {
  const columns = [
    { key: "name", kind: "title", cell: (row) => h("span", { class: "line" }, h("code", {}, visible(row.name)), copyButton(`${row.name}=${row.value ?? ""}`, null, "copy_setting")) },
    { key: "value", cell: (row) => (row.value === null || row.value === "" ? h("span", { class: "few", i18n: "not_set" }) : h("code", {}, visible(row.value))) },
    { key: "setting_source", cell: (row) => h("span", { class: "badge" }, visible(row.source)) },
    { key: "about", cell: (row) => visible(row.about) || DASH },
  ];
  return part(
    "settings_title",
    [],
    h("p", { class: "small", i18n: "settings_about" }),
    facts(["zone", h("code", {}, visible(zone))]),
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
    if (!BUSY.includes(now.state)) return;
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
    const done = progress(now);
    return [
      h("p", { class: "line" }, h("span", { class: `badge ${now.state === "there" ? "accent" : ""}`, i18n: `demo_${now.state}` }), now.rows > 0 && h("span", { class: "small", i18n: ["demo_rows", { n: number(now.rows) }] })),
      BUSY.includes(now.state) && [meter(done, ["demo_progress", { percent: percent(done) }]), h("p", { class: "small", i18n: ["demo_progress", { percent: percent(done) }] })],
      h(
        "div",
        { class: "actions" },
        now.state === "none" && button("demo_fill", () => start("demo_fill", "demo_fill_about", () => tools.post("/demo-data")), { kind: "button primary", id: "demo-fill" }),
        now.state === "there" && button("demo_remove", () => start("demo_remove", "demo_remove_about", () => tools.remove("/demo-data"), true), { kind: "button danger", id: "demo-remove" }),
      ),
    ];
  };
  draw(first);
  return part("demo_title", [], h("p", { class: "small", i18n: "demo_about" }), place);
}

// `done` counts rows where the server says how many there will be, and is a share of the whole where it does not.
function progress({ rows, done }) {
  if (typeof done !== "number") return 0;
  return done > 1 && rows > 0 ? done / rows : done;
}
