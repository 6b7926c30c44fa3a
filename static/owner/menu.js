// A button that opens a small box of choices below it: Escape, a click elsewhere and leaving the page close it.

import { fill, h, icon } from "../dom.js";

/** `content(close)` gives what is in the box, asked for each time it opens. */
export function menu({ name, label, shown = true, kind = "" }, content) {
  const box = h("div", { class: `menu-box ${kind}`, popover: "auto", role: "group", label });
  const button = h("button", { type: "button", class: "button", "aria-expanded": "false", "aria-haspopup": "true", ...(shown ? {} : { label, tip: label }), on: { click: () => (box.matches(":popover-open") ? box.hidePopover() : open()) } }, icon(name), shown && h("span", { class: "menu-label", i18n: label }));
  const open = () => {
    fill(box, content(() => box.hidePopover()));
    box.showPopover();
    const at = button.getBoundingClientRect();
    const wide = box.offsetWidth;
    box.style.left = `${Math.max(Math.min(at.right > innerWidth / 2 ? at.right - wide : at.left, innerWidth - wide - 8), 8)}px`;
    box.style.top = `${at.bottom + 4}px`;
  };
  box.addEventListener("toggle", (event) => {
    button.setAttribute("aria-expanded", String(event.newState === "open"));
    if (event.newState === "open") box.querySelector("a, button, input")?.focus();
  });
  return h("span", { class: "menu-holder" }, button, box);
}
