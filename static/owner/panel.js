// One thing of a list, shown beside it. The address says which: `item`, so that back, reload and a shared link keep it.

import { fill, h, icon } from "../dom.js";
import { failure } from "./failure.js";
import { read } from "./router.js";

let shown = null;
// Back and forward change the address alone: whoever draws the present screen's panels looks at it again.
let watching = null;
addEventListener("popstate", () => read().screen === watching?.screen && watching.sync());

/**
 * A panel for the things of a screen. `load(id, signal)` gives its content as nodes, again each time the screen is drawn: after a
 * change it is enough to load that.
 * Gives `open(id)` for the rows, and `sync()`, which the screen calls when it is drawn.
 */
export function panel({ title, load }, tools) {
  const sync = () => {
    const wanted = read().item ?? "";
    if (wanted === (shown?.id ?? "")) {
      shown?.use(load);
      return;
    }
    shown?.end();
    shown = wanted ? show(wanted, title, load, () => open("")) : null;
  };
  const open = (item) => {
    tools.above({ item });
    sync();
  };
  watching = { screen: read().screen, sync };
  return { open, sync };
}

function show(id, title, first, leave) {
  let load = first;
  const ended = new AbortController();
  const { signal } = ended;
  const body = h("div", { class: "body", tabindex: "-1" }, h("p", { class: "nothing", i18n: "loading" }));
  const dialog = h(
    "dialog",
    { id: "panel", class: "drawer", label: title },
    h("header", {}, h("h2", { i18n: title }), h("span", { class: "spring" }), h("button", { type: "button", class: "quiet", label: "close", tip: "close", on: { click: leave } }, icon("close"))),
    body,
  );
  dialog.addEventListener("cancel", (event) => {
    // The Escape of a dialog above this one is not meant.
    if (event.target !== dialog) return;
    event.preventDefault();
    leave();
  });
  dialog.addEventListener("click", (event) => event.target === dialog && leave());
  dialog.addEventListener("close", () => {
    ended.abort();
    dialog.remove();
    if (shown?.dialog === dialog) shown = null;
  });
  const reload = async () => {
    try {
      const content = await load(id, signal);
      if (!signal.aborted) fill(body, content);
    } catch (problem) {
      if (!signal.aborted && problem.status !== 401) fill(body, failure(problem, reload));
    }
  };
  addEventListener("popstate", () => (read().item ?? "") !== id && dialog.close(), { signal });
  document.body.append(dialog);
  dialog.showModal();
  body.focus();
  reload();
  return {
    id,
    dialog,
    use(other) {
      load = other;
      reload();
    },
    end: () => dialog.close(),
  };
}
