// Small pieces that the screens share.

import { copyButton, h } from "../dom.js";
import { DASH, shortId, visible, when, whenFull } from "../format.js";
import { has } from "../i18n.js";

const TONES = { SUCCESS: "good", ERROR: "bad", FAIL_CLOSED: "bad", ABSTAINED: "warn", RATE_LIMITED: "warn", OVER_BUDGET: "warn", new: "accent", contacted: "warn", closed: "good" };
const FAILED = ["ERROR", "FAIL_CLOSED"];

export function statusBadge(status) {
  const key = `status_${status}`;
  const tone = Object.hasOwn(TONES, status) ? TONES[status] : "";
  return h("span", { class: `badge ${tone}`, ...(has(key) ? { i18n: key } : {}) }, has(key) ? null : visible(status));
}

/** True for a request that `.` jumps to. */
export const isError = (status) => FAILED.includes(status);

export function moment(ts) {
  return ts ? h("time", { datetime: ts, title: whenFull(ts) }, when(ts)) : DASH;
}

export function idCopy(id) {
  return id ? copyButton(id, shortId(id), "copy_id") : DASH;
}

/** The name of a value of a field where the catalogue has one, else the value itself as somebody wrote it. */
export function valueName(field, value) {
  if (!value) return h("span", { i18n: "value_none" });
  const key = `${field}_${value}`;
  return has(key) ? h("span", { i18n: key, title: value }) : h("bdi", {}, visible(value));
}

export const routeName = (route) => (route ? valueName("route", route) : DASH);

/** A button of the quiet or plain kind. */
export function button(i18n, click, { kind = "button", ...props } = {}) {
  return h("button", { type: "button", class: kind, i18n, on: { click }, ...props });
}
