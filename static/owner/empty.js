// The three empty states: never any data, none in this range, filtered out. Each says how to go on.

import { copyButton, fill, h } from "../dom.js";
import { failure } from "./failure.js";
import { changed } from "./router.js";

/** A headline, a hint, and what helps. */
export function empty(headline, hint, ...help) {
  return h("div", { class: "empty" }, h("p", { class: "headline", i18n: headline }), hint && h("p", { i18n: hint }), ...help);
}

/**
 * Finds out why a list is empty, and shows it.
 *
 * `fields`: the names of the filter's fields that the list knows, besides the time.
 * `any(state)`: whether the list has a row in another state.
 * `never`: what to show when there is nothing at all; by default the command that makes a first request.
 */
export async function whyEmpty({ state, fields, any, tools, never = emptyNever }) {
  const narrowed = fields.filter((name) => state[name]);
  const free = changed(state, Object.fromEntries(fields.map((name) => [name, ""])));
  if (narrowed.length > 0 && (await any(free))) return emptyFiltered(narrowed, free, tools);
  if (state.range !== "all" && (await any({ ...free, range: "all", since: "", until: "" }))) return emptyRange(state, tools);
  return never(tools);
}

/** Nothing has ever happened: the command that changes that. */
export function emptyNever(tools) {
  const command = [
    `curl -s ${location.origin}/query \\`,
    `  -H 'Authorization: Bearer YOUR_KEY' \\`,
    `  -H 'Content-Type: application/json' \\`,
    `  -d '{"question": "Which IELTS courses do you have?"}'`,
  ].join("\n");
  const demo = h("div", { class: "demo" });
  offerDemo(demo, tools);
  return empty("empty_never", "empty_never_hint", h("div", { class: "command" }, h("pre", { tabindex: "0" }, command), copyButton(command, null, "copy_command")), demo);
}

/** Where there are demo tenants, a month of their traffic can be had at once. */
async function offerDemo(holder, tools) {
  const data = await tools.get("/demo-data").catch(() => null);
  if (data?.state !== "none" || data.tenants.length === 0) return;
  const start = async () => {
    try {
      await tools.post("/demo-data");
      tools.to("settings");
    } catch (problem) {
      fill(holder, failure(problem));
    }
  };
  fill(holder, h("p", { i18n: "empty_demo" }), act("demo_fill", start));
}

/** Something has happened, at another time. */
export function emptyRange(state, tools) {
  return empty("empty_range", "empty_range_hint", act("empty_range_show", () => tools.go({ range: "all", since: "", until: "" })));
}

function emptyFiltered(narrowed, free, tools) {
  const clear = narrowed.map((name) => act(["clear_one", { what: tools.fieldText(name) }], () => tools.go({ [name]: "" })));
  return empty("empty_filtered", "empty_filtered_hint", h("div", { class: "actions" }, clear, narrowed.length > 1 && act("clear_filters", () => tools.go(free))));
}

const act = (i18n, click) => h("button", { type: "button", class: "button", i18n, on: { click } });
