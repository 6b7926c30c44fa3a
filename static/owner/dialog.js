// A question to the owner: fields in; what the server answered out, or null when the dialog was left.

import { fill, h, icon } from "../dom.js";
import { failure } from "./failure.js";

let made = 0;

/**
 * Opens it and waits for its end.
 *
 * `title`, `go`: the catalogue's keys of the headline and of the button. `about`: what to know first, as nodes.
 * `fields`: { name, label, kind?, value?, options?, help?, …attributes }; `kind` is "text", "long", "number", "date",
 * "choice" (with `options`: [[value, key or node text]]) or "switch".
 * `send(values)`: does it. What it throws is shown, and the dialog stays.
 */
export function ask({ title, go, about = [], fields = [], danger = false, send }) {
  const { promise, resolve } = Promise.withResolvers();
  let result = null;
  const said = h("div");
  const controls = fields.map(control);
  const leave = () => dialog.close();
  const sure = h("button", { class: danger ? "button danger" : "button primary", i18n: go });
  const submit = async (event) => {
    event.preventDefault();
    sure.disabled = true;
    fill(said);
    try {
      result = (await send(Object.fromEntries(controls.map((one) => [one.name, one.value()])))) ?? true;
      dialog.close();
    } catch (problem) {
      fill(said, failure(problem));
    } finally {
      sure.disabled = false;
    }
  };
  const dialog = h(
    "dialog",
    { class: "box ask", label: title, on: { close: () => (dialog.remove(), resolve(result)) } },
    h("header", {}, h("h2", { i18n: title }), h("button", { type: "button", class: "quiet", label: "close", on: { click: leave } }, icon("close"))),
    h(
      "form",
      { on: { submit } },
      about.length > 0 && h("div", { class: "about" }, about),
      controls.map((one) => one.node),
      said,
      h("div", { class: "actions" }, h("button", { type: "button", class: "button", i18n: "cancel", on: { click: leave } }), sure),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
  (controls[0]?.input ?? sure).focus();
  return promise;
}

/** Shows `content` in a dialog until it is closed; nothing of it stays in the page. */
export function tell({ title, content }) {
  const leave = () => dialog.close();
  const dialog = h(
    "dialog",
    { class: "box ask", label: title, on: { close: () => dialog.remove() } },
    h("header", {}, h("h2", { i18n: title }), h("button", { type: "button", class: "quiet", label: "close", on: { click: leave } }, icon("close"))),
    h("div", { class: "told" }, content),
    h("div", { class: "actions" }, h("button", { type: "button", class: "button primary", i18n: "close", on: { click: leave } })),
  );
  document.body.append(dialog);
  dialog.showModal();
}

function control({ name, label, kind = "text", value = "", options = [], help, ...rest }) {
  const id = `ask-${(made += 1)}`;
  const about = help && h("p", { id: `${id}-help`, class: "help", i18n: help });
  const props = { id, name, class: "input", "aria-describedby": help ? `${id}-help` : null, ...rest };
  const input = element(kind, props, options);
  if (kind === "switch") input.checked = Boolean(value);
  else input.value = value ?? "";
  const title = h("label", { for: id, i18n: label });
  const node =
    kind === "switch"
      ? h("div", { class: "field switch" }, h("div", {}, input, title), about)
      : h("div", { class: "field" }, title, input, about);
  return { name, node, input, value: () => valueOf(kind, input) };
}

function element(kind, props, options) {
  if (kind === "long") return h("textarea", { rows: "3", ...props });
  if (kind === "switch") return h("input", { type: "checkbox", ...props, class: null });
  if (kind === "choice") return h("select", props, options.map(([value, text, plain]) => h("option", { value, i18n: plain ? null : text }, plain ? text : null)));
  return h("input", { type: kind, autocomplete: "off", ...(kind === "number" ? { step: "any" } : {}), ...props });
}

// What was left empty is null: a server that is told "" would have to guess.
function valueOf(kind, input) {
  if (kind === "switch") return input.checked;
  const text = input.value.trim();
  if (text === "") return null;
  return kind === "number" ? Number(text) : text;
}
