// Numbers, times and text that somebody else wrote.

import { locale } from "./i18n.js";

export const DASH = "–";

export function number(value, options = {}) {
  return value === null || value === undefined ? DASH : new Intl.NumberFormat(locale(), options).format(value);
}

export function percent(fraction) {
  return number(fraction, { style: "percent", maximumFractionDigits: 1 });
}

/** A large number as a reader wants it: 812, 41.2K, 5.9M. */
export function compact(value) {
  return number(value, { notation: "compact", maximumFractionDigits: 1 });
}

/** US dollars, with as many digits as small sums need. */
export function money(usd) {
  const digits = usd !== null && usd !== undefined && Math.abs(usd) < 1 && usd !== 0 ? { maximumSignificantDigits: 3 } : { minimumFractionDigits: 2, maximumFractionDigits: 2 };
  return number(usd, { style: "currency", currency: "USD", currencyDisplay: "narrowSymbol", ...digits });
}

/** Milliseconds as a reader wants them: 8 ms, 1.24 s, 2 min 5 s. */
export function millis(ms) {
  if (ms === null || ms === undefined) return DASH;
  if (ms < 1) return `${number(ms, { maximumFractionDigits: 2 })} ms`;
  if (ms < 10) return `${number(ms, { maximumFractionDigits: 1 })} ms`;
  if (ms < 1000) return `${number(Math.round(ms))} ms`;
  if (ms < 60_000) return `${number(ms / 1000, { maximumFractionDigits: 2 })} s`;
  return `${number(Math.floor(ms / 60_000))} min ${number(Math.round((ms % 60_000) / 1000))} s`;
}

export function score(value) {
  return typeof value === "number" ? number(value, { maximumSignificantDigits: 3 }) : DASH;
}

// All times are shown in one zone: the browser's, until a page is told of another.
let shownIn = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "UTC";

/** The zone that times are shown in. */
export const zone = () => shownIn;

/** Shows times in another zone from now on; one that the browser does not know changes nothing. */
export function setZone(name) {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    shownIn = name;
  } catch {
    // An older browser may lack a zone.
  }
}

const CLOCK = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const WHENS = {
  full: { month: "short", day: "numeric", ...CLOCK, second: "2-digit" },
  short: { month: "short", day: "numeric", ...CLOCK },
  day: { month: "short", day: "numeric" },
  time: { ...CLOCK, second: "2-digit" },
  minute: CLOCK,
};

// Making a format costs more than using it a hundred times.
const formats = new Map();

function format(language, options) {
  const all = { ...options, timeZone: shownIn };
  const key = language + JSON.stringify(all);
  if (!formats.has(key)) formats.set(key, new Intl.DateTimeFormat(language, all));
  return formats.get(key);
}

/** A time in that zone: "full", "short" (to the minute), "day", "time" or "minute". Accepts RFC 3339, or epoch seconds. */
export function when(ts, how = "full") {
  const date = toDate(ts);
  if (!date) return DASH;
  const year = (at) => format("en", { year: "numeric" }).format(at);
  const dated = !["time", "minute"].includes(how) && year(date) !== year(new Date());
  return format(locale(), { ...WHENS[how], ...(dated ? { year: "numeric" } : {}) }).format(date);
}

/** The same moment in UTC and in that zone, for a tooltip. */
export function whenFull(ts) {
  const date = toDate(ts);
  if (!date) return "";
  const local = format(locale(), { dateStyle: "full", timeStyle: "long" }).format(date);
  return `${date.toISOString()} · ${local}`;
}

function toDate(ts) {
  if (ts === null || ts === undefined || ts === "") return null;
  const date = new Date(typeof ts === "number" ? ts * 1000 : ts);
  return Number.isNaN(date.getTime()) ? null : date;
}

/** The first group of an id, enough to recognise it. */
export const shortId = (id) => (id && id.length > 13 ? `${id.slice(0, 4)}…${id.slice(-6)}` : (id ?? DASH));

// Control characters, direction overrides and invisible spaces can make text look like something it
// is not. Line breaks and tabs stay, and so do the joiners that Persian and emoji need.
const DECEPTIVE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff]/g;

/** Text with every deceptive character written out, as in `\u202e`. */
export function visible(text) {
  return String(text ?? "")
    .replaceAll("\r\n", "\n")
    .replace(DECEPTIVE, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
