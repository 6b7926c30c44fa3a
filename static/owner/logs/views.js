// Views of the list: those that everybody needs, and those that were saved. A view is an address.

import { fill, h, icon } from "../../dom.js";
import { visible } from "../../format.js";
import { failure } from "../failure.js";
import { href, only, read } from "../router.js";

const PRESETS = [
  ["preset_errors", { status: "ERROR" }],
  ["preset_fail_closed", { status: "FAIL_CLOSED" }],
  ["preset_abstained", { status: "ABSTAINED" }],
  ["preset_slow", { min_ms: "5000" }],
  ["preset_down", { feedback: "down" }],
  ["preset_handoff", { handoff: "yes" }],
  ["preset_costly", { min_cost: "0.01" }],
];

/** The menu's content. Saved views are read when it opens. */
export function viewsMenu(state, tools, close) {
  const saved = h("div", {});
  const draw = async () => {
    try {
      const { items } = await tools.get("/views");
      const mine = items.filter((one) => one.screen === "logs");
      fill(saved, mine.length > 0 && h("h3", { i18n: "views_saved" }), h("ul", {}, mine.map(one)));
    } catch (problem) {
      if (problem.name !== "AbortError") fill(saved, failure(problem, draw));
    }
  };
  const go = (state) => h("a", { class: "menu-item", href: href(state), on: { click: close } });
  const one = (view) => {
    const link = go({ ...read(view.query), screen: "logs" });
    link.append(visible(view.name));
    const remove = async () => {
      await tools.remove(`/views/${encodeURIComponent(view.id)}`);
      draw();
    };
    return h("li", { class: "line" }, link, h("button", { type: "button", class: "quiet", label: ["view_remove", { name: visible(view.name) }], tip: ["view_remove", { name: visible(view.name) }], on: { click: remove } }, icon("close")));
  };
  const name = h("input", { class: "input", required: true, maxlength: "80", hint: "view_name", label: "view_name", autocomplete: "off" });
  const save = async (event) => {
    event.preventDefault();
    // What a reader looks at right now is no part of a view.
    const query = new URLSearchParams(href({ ...state, cursor: "", offset: "", trace: "", tab: "", live: "" }).split("?")[1] ?? "");
    try {
      await tools.post("/views", { screen: "logs", name: name.value.trim(), query: query.toString() });
      name.value = "";
      draw();
    } catch (problem) {
      fill(saved, failure(problem));
    }
  };
  const preset = ([i18n, patch]) => {
    const link = go({ ...state, ...only(patch), cursor: "", trace: "" });
    link.append(h("span", { i18n }));
    return h("li", {}, link);
  };
  draw();
  return [h("ul", {}, PRESETS.map(preset)), saved, h("form", { class: "line", on: { submit: save } }, name, h("button", { class: "button", i18n: "view_save" }))];
}
