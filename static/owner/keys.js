// The keyboard: what every screen understands, what a key needs to be there, and the list of them.
//
// Screens take part by what they draw: `j`/`k` walk over `.opener`, `.` goes to the next row with `data-failed`, `/` focuses
// `#filter-search`, `f` the first control inside `[data-filters]`. Inside the drawer, its own buttons are meant.

import { $, h, icon } from "../dom.js";
import { SCREENS } from "./screens.js";

const WAIT = 1200;
let went = 0;

/** `to(screen)` goes somewhere, `palette()` opens the palette, `drawer` is the dialog that shows a trace. */
export function keys({ to, palette, drawer, ready }) {
  document.addEventListener("keydown", (event) => {
    if (!ready()) return;
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      palette();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.target.closest("input:not([type=checkbox], [type=range]), select, textarea")) {
      if (event.key === "Escape" && !drawer.open) event.target.blur();
      return;
    }
    if (document.querySelector("dialog[open]:not(#drawer)")) return;
    if (Date.now() - went < WAIT) {
      went = 0;
      const screen = SCREENS.find((one) => one.letter === event.key);
      if (screen) {
        event.preventDefault();
        to(screen.name);
        return;
      }
    }
    const act = { j: () => walk(1, drawer), k: () => walk(-1, drawer), ".": () => nextFailed(drawer), "/": search, f: filters, g: () => (went = Date.now()), "?": help }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}

function walk(by, drawer) {
  if (drawer.open) {
    $(by > 0 ? "[data-go=next]" : "[data-go=previous]", drawer)?.click();
    return;
  }
  const all = [...document.querySelectorAll("#screen .opener, #screen [data-go]")].filter((one) => one.offsetParent !== null);
  const page = all.find((one) => one.dataset.go === (by > 0 ? "next" : "previous"));
  if (page) {
    page.click();
    return;
  }
  const at = all.indexOf(document.activeElement);
  all[at < 0 ? 0 : Math.min(Math.max(at + by, 0), all.length - 1)]?.focus();
}

function nextFailed(drawer) {
  if (drawer.open) {
    $("[data-go=failed]", drawer)?.click();
    return;
  }
  const failed = [...document.querySelectorAll("#screen [data-failed] .opener")];
  const present = document.activeElement?.closest?.("tr");
  const after = failed.find((one) => present && present.compareDocumentPosition(one) & Node.DOCUMENT_POSITION_FOLLOWING && one.closest("tr") !== present);
  (after ?? failed[0])?.focus();
}

const search = () => ($("#filter-search") ?? $("#screen input[type=search]"))?.focus();
const filters = () => ($("#screen [data-filters] :is(select, input, button, summary)") ?? $("#filter-tenant"))?.focus();

/** The keys, as a list. */
export function help() {
  const close = () => dialog.close();
  const entries = [
    ["j / k", "key_walk"], ["Enter", "key_open"], ["Esc", "key_close"], ["/", "key_search"], ["f", "key_filters"], [".", "key_failed"],
    ["Ctrl K", "key_palette"], ["?", "key_help"],
    ...SCREENS.filter((one) => one.letter).map((one) => [`g ${one.letter}`, `screen_${one.name}`]),
  ];
  const list = entries.map(([key, i18n]) => h("div", {}, h("dt", {}, h("kbd", {}, key)), h("dd", { i18n })));
  const dialog = h(
    "dialog",
    { class: "box", label: "key_help", on: { close: () => dialog.remove() } },
    h("header", {}, h("h2", { i18n: "key_help" }), h("button", { type: "button", class: "quiet", label: "close", on: { click: close } }, icon("close"))),
    h("dl", { class: "keys" }, list),
  );
  document.body.append(dialog);
  dialog.showModal();
}
