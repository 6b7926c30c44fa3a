// Pieces of the screens that are more than a list: figures, facts, segments, meters.

import { h } from "../dom.js";
import { number, visible } from "../format.js";

/** A row of figures. */
export const tiles = (...all) => h("dl", { class: "tiles" }, all.filter(Boolean));

/** One figure: `name` and `note` are keys of the catalogue. `tone`: "bad", "warn", "good" or "faint". */
export function tile(name, value, note = null, tone = "") {
  return h("div", { class: `tile ${tone}` }, h("dt", { i18n: name }), h("dd", { class: "value" }, value), note && h("dd", { class: "note", i18n: note }));
}

/** Names and values; pairs that are false are left out. */
export function facts(...pairs) {
  return h("dl", { class: "facts" }, pairs.filter(Boolean).map(([name, ...content]) => h("div", {}, h("dt", { i18n: name }), h("dd", {}, ...content))));
}

/** One of a few choices that the address holds in `field`: [[value, key, count?]]. */
export function segments(label, field, choices, state, tools) {
  return h(
    "div",
    { class: "segments", role: "group", label },
    choices.map(([value, key, count]) =>
      h(
        "button",
        { type: "button", id: `${field}-${value || "all"}`, "aria-pressed": String((state[field] ?? "") === value), on: { click: () => tools.go({ [field]: value }) } },
        h("span", { i18n: key }),
        typeof count === "number" && h("span", { class: "n" }, number(count)),
      ),
    ),
  );
}

/** A part of a screen under a headline, with what can be done there. */
export function part(title, actions, ...content) {
  return h("section", { class: "part" }, h("header", {}, h("h2", { i18n: title }), h("div", { class: "actions" }, actions)), ...content);
}

/** How much of a limit is used; `fraction` from 0 to 1. */
export function meter(fraction, label, tone = "") {
  const bar = h("i", { class: tone });
  // Set through the object model: the page's policy allows no style attributes.
  bar.style.width = `${Math.min(Math.max(fraction || 0, 0), 1) * 100}%`;
  return h("div", { class: "meter", role: "img", label }, bar);
}

/** Good or not, in words and not in colour alone. */
export function verdict(ok, good = "verdict_ok", bad = "verdict_bad") {
  return h("span", { class: `badge ${ok ? "good" : "bad"}`, i18n: ok ? good : bad });
}

/** What a stranger wrote, as text of its own direction. */
export const said = (text, kind = "message") => h("span", { class: kind, dir: "auto" }, visible(text));

/** The name of the tenant that something is of; of one that is gone, what the row still calls it. */
export function tenantText({ tenant_id, tenant }, tools) {
  const name = tools.tenantName(tenant_id);
  return h("bdi", {}, visible(name === tenant_id ? (tenant ?? name) : name));
}
