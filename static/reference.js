// The reference of the owner's API, written from its OpenAPI document. Everything in it is shown as text.

import { Problem, json } from "./api.js";
import { $, fill, h } from "./dom.js";
import { translate } from "./i18n.js";

const DOCUMENT = "/owner/api/openapi.json";
const DEPTH = 6;

translate();
try {
  show(await json(DOCUMENT));
} catch (problem) {
  if (!(problem instanceof Problem)) throw problem;
  const reason = problem.status === 401 ? "reference_login" : "reference_failed";
  fill($("#operations"), h("p", { class: "alert", role: "alert", i18n: reason }), h("p", {}, h("a", { href: "/owner" }, "/owner")));
}

function show(document) {
  fill($("#about"), document.info.description);
  const groups = new Map();
  for (const [path, methods] of Object.entries(document.paths))
    for (const [method, operation] of Object.entries(methods)) {
      const group = operation.tags[0];
      if (!groups.has(group)) groups.set(group, []);
      groups.get(group).push({ path, method, operation });
    }
  const sections = [...groups].map(([group, entries]) =>
    h("section", {}, h("h2", {}, group), entries.map((entry) => described(entry, document))));
  fill($("#operations"), sections);
}

function described({ path, method, operation }, document) {
  const parts = [];
  if (operation.parameters.length > 0) parts.push(parameters(operation.parameters));
  const body = operation.requestBody?.content["application/json"]?.schema;
  if (body) parts.push(h("h3", { i18n: "reference_body" }), example(body, document));
  for (const [status, answer] of Object.entries(operation.responses)) {
    if (status === "default") continue;
    parts.push(h("h3", { i18n: ["reference_answer", { status }] }));
    for (const [kind, { schema }] of Object.entries(answer.content ?? {}))
      parts.push(h("p", {}, h("code", {}, kind)), kind === "application/json" ? example(schema, document) : null);
  }
  return h("details", {},
    h("summary", {}, h("span", { class: "method" }, method.toUpperCase()), " ", h("code", {}, path), " ", operation.summary),
    parts);
}

function parameters(list) {
  const rows = list.map(({ name, schema }) =>
    h("tr", {}, h("th", { scope: "row" }, h("code", {}, name)), h("td", {}, kindOf(schema)), h("td", {}, schema.description ?? "")));
  return h("table", {}, h("tbody", {}, rows));
}

function kindOf(schema) {
  if (schema.enum) return schema.enum.join(" | ");
  const range = schema.maximum === undefined ? "" : ` ${schema.minimum ?? ""}–${schema.maximum}`;
  return `${schema.format ?? schema.type ?? ""}${range}`;
}

/** The shape of a schema, as JSON with the kinds of values in their places. */
function example(schema, document) {
  return h("pre", { tabindex: "0" }, JSON.stringify(shape(schema, document, DEPTH), null, 2));
}

function shape(schema, document, depth) {
  if (schema === true || depth === 0) return "…";
  if (schema.$ref) return shape(lookUp(schema.$ref, document), document, depth - 1);
  const either = schema.anyOf ?? schema.oneOf;
  if (either) {
    const some = either.filter((one) => one.type !== "null");
    const shown = some.map((one) => shape(one, document, depth));
    return shown.length === 1 ? shown[0] : { either: shown };
  }
  if (schema.enum) return schema.enum.join(" | ");
  if (schema.const !== undefined) return schema.const;
  const kinds = [schema.type].flat();
  if (schema.properties)
    return Object.fromEntries(Object.entries(schema.properties).map(([name, field]) => [name, shape(field, document, depth - 1)]));
  if (kinds.includes("array")) return [shape(schema.items ?? true, document, depth - 1)];
  if (kinds.includes("object")) return {};
  return `${schema.format ?? ""} ${kinds.filter((kind) => kind !== undefined).join(" | ")}`.trim() || "…";
}

function lookUp(reference, document) {
  return reference.slice(2).split("/").reduce((at, part) => at[part.replaceAll("~1", "/").replaceAll("~0", "~")], document);
}
