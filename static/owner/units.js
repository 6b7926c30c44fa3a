// Money, sizes and spans of time as a reader wants them.

import { DASH, number } from "../format.js";

const none = (value) => value === null || value === undefined;

/** US dollars: cents where there are dollars, more where there are only cents. */
export function usd(value) {
  if (none(value)) return DASH;
  const digits = value === 0 || Math.abs(value) >= 1 ? 2 : 4;
  return number(value, { style: "currency", currency: "USD", currencyDisplay: "narrowSymbol", minimumFractionDigits: 2, maximumFractionDigits: digits });
}

/** 1234567 → 1.2 MB. */
export function bytes(value) {
  if (none(value)) return DASH;
  const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
  const at = Math.min(value < 1 ? 0 : Math.floor(Math.log10(value) / 3), units.length - 1);
  return number(value / 1000 ** at, { style: "unit", unit: units[at], unitDisplay: "short", maximumFractionDigits: at === 0 ? 0 : 1 });
}

const SPANS = [["day", 86_400], ["hour", 3600], ["minute", 60], ["second", 1]];

/** Seconds in the largest whole unit: 90 → 1m. */
export function span(seconds) {
  if (none(seconds)) return DASH;
  const [unit, size] = SPANS.find(([, size]) => seconds >= size) ?? SPANS.at(-1);
  return number(Math.floor(seconds / size), { style: "unit", unit, unitDisplay: "narrow" });
}

/** Seconds since a moment. */
export const since = (ts) => (ts ? Math.max(0, (Date.now() - new Date(ts).getTime()) / 1000) : null);
