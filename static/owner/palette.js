// The palette: a few letters in, a screen, a tenant, a time, a trace or a switch out.

import { fill, h } from "../dom.js";
import { visible } from "../format.js";
import { t } from "../i18n.js";
import { RANGES } from "./router.js";
import { SCREENS } from "./screens.js";

const SHOWN = 12;
const TRACE_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** True for the id of a trace. */
export const isTraceId = (text) => TRACE_ID.test(text);

/** Opens it. `extra`: more entries, each { text, hint?, act }. */
export function palette(tools, extra = []) {
  const entries = [
    ...SCREENS.filter((one) => one.letter).map((one) => ({ text: t(`screen_${one.name}`), hint: `g ${one.letter}`, act: () => tools.to(one.name) })),
    ...extra,
    ...RANGES.filter((range) => range !== "custom").map((range) => ({ text: t(`range_${range}`), hint: t("range"), act: () => tools.go({ range, since: "", until: "" }) })),
    { text: t("all_tenants"), hint: t("tenant"), act: () => tools.go({ tenant_id: "" }) },
    ...tools.tenants().map((one) => ({ text: visible(one.name), hint: t("tenant"), act: () => tools.go({ tenant_id: one.id }) })),
  ];
  let shown = [];
  let at = 0;
  const input = h("input", { class: "input", type: "text", role: "combobox", "aria-expanded": "true", "aria-controls": "palette-list", "aria-autocomplete": "list", hint: "palette_hint", label: "palette", autocomplete: "off", spellcheck: "false" });
  const list = h("ul", { id: "palette-list", role: "listbox", label: "palette" });
  const dialog = h("dialog", { class: "box palette", label: "palette", on: { close: () => dialog.remove(), click: (event) => event.target === dialog && dialog.close() } }, input, list);

  const pick = (entry) => {
    dialog.close();
    entry?.act();
  };
  const draw = () => {
    const wanted = plain(input.value);
    const found = entries.map((entry) => [rank(plain(`${entry.text} ${entry.hint ?? ""}`), wanted), entry]).filter(([rank]) => rank >= 0);
    shown = found.sort((a, b) => a[0] - b[0]).map(([, entry]) => entry).slice(0, SHOWN);
    const text = input.value.trim();
    if (isTraceId(text)) shown = [{ text: t("palette_trace"), hint: text, act: () => tools.openTrace(text.toLowerCase()) }];
    else if (text) shown.push({ text: t("palette_search", { text: visible(text) }), hint: t("screen_logs"), act: () => tools.to("logs", { q: text }) });
    at = Math.min(at, Math.max(shown.length - 1, 0));
    fill(list, shown.map((entry, n) => h("li", { id: `palette-${n}`, role: "option", "aria-selected": String(n === at), on: { click: () => pick(entry) } }, h("span", {}, entry.text), entry.hint && h("small", {}, entry.hint))));
    input.setAttribute("aria-activedescendant", `palette-${at}`);
  };
  input.addEventListener("input", () => {
    at = 0;
    draw();
  });
  input.addEventListener("keydown", (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (by) {
      event.preventDefault();
      at = (at + by + shown.length) % Math.max(shown.length, 1);
      draw();
    } else if (event.key === "Enter" && !event.isComposing) {
      event.preventDefault();
      pick(shown[at]);
    }
  });
  document.body.append(dialog);
  draw();
  dialog.showModal();
  input.focus();
}

// Vietnamese is found without its marks too.
const plain = (text) => text.toLowerCase().normalize("NFD").replace(/\p{M}/gu, "").replaceAll("đ", "d").trim();

/** Lower is better; -1 when the letters are not there in this order. */
function rank(text, wanted) {
  const whole = text.indexOf(wanted);
  if (whole >= 0) return whole;
  let from = 0;
  for (const letter of wanted) {
    from = text.indexOf(letter, from) + 1;
    if (from === 0) return -1;
  }
  return 1000 + from;
}
