// One catalogue per language; every element remembers its key, so that switching needs no reload.

import en from "./i18n/en.js";
import fa from "./i18n/fa.js";
import vi from "./i18n/vi.js";

const CATALOGUES = { en, vi, fa };
// Persian digits and words, but the calendar of every filter, export and log line.
const LOCALES = { en: "en", vi: "vi", fa: "fa-u-ca-gregory" };
/** Every language by its code, each in its own words. */
export const LANGUAGES = { en: "English", vi: "Tiếng Việt", fa: "فارسی" };
const listeners = [];
let current = first();

function first() {
  const asked = new URLSearchParams(location.search).get("lang");
  let kept = null;
  try {
    kept = localStorage.getItem("rag-tower.lang");
  } catch {
    // No storage: the browser's language decides.
  }
  const wanted = (asked ?? kept ?? navigator.language ?? "en").toLowerCase().slice(0, 2);
  return Object.hasOwn(CATALOGUES, wanted) ? wanted : "en";
}

/** The code of the language in use. */
export const language = () => current;

/** What numbers and times are written by. */
export const locale = () => LOCALES[current];

/** "rtl" when the language in use is written from right to left. */
export const direction = () => (current === "fa" ? "rtl" : "ltr");

/** Text for a key. A value may be a template with {names}, or plural forms chosen by `args.n`. */
export function t(key, args = {}) {
  let text = CATALOGUES[current][key] ?? CATALOGUES.en[key] ?? key;
  if (typeof text === "object") text = text[new Intl.PluralRules(current).select(args.n)] ?? text.other;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in args ? written(args[name]) : whole));
}

// A number is written as the language writes it, once its plural form has been chosen.
const written = (value) => (typeof value === "number" ? new Intl.NumberFormat(locale()).format(value) : String(value));

/** True when the catalogue knows the key. */
export const has = (key) => key in CATALOGUES.en;

const SLOTS = { text: "i18nText", "aria-label": "i18nLabel", title: "i18nTitle", placeholder: "i18nHint" };

/** Ties text or an attribute of an element to a key (or [key, args]), now and after every switch. */
export function bind(el, slot, key) {
  el.dataset[SLOTS[slot]] = JSON.stringify(Array.isArray(key) ? key : [key]);
  put(el, slot);
}

function put(el, slot) {
  const raw = el.dataset[SLOTS[slot]];
  if (raw === undefined) return;
  // Markup carries a bare key, bind() carries JSON.
  const [key, args] = raw.startsWith("[") ? JSON.parse(raw) : [raw];
  if (slot === "text") el.textContent = t(key, args);
  else el.setAttribute(slot, t(key, args));
}

/** Writes every tied text under `root` in the current language. */
export function translate(root = document) {
  document.documentElement.lang = current;
  document.documentElement.dir = direction();
  for (const el of root.querySelectorAll("[data-i18n-text],[data-i18n-label],[data-i18n-title],[data-i18n-hint]"))
    for (const slot of Object.keys(SLOTS)) put(el, slot);
}

/** Switches the language, remembers it, and tells the listeners. */
export function setLanguage(next) {
  current = Object.hasOwn(CATALOGUES, next) ? next : "en";
  try {
    localStorage.setItem("rag-tower.lang", current);
  } catch {
    // Not remembered, still switched.
  }
  translate();
  for (const listener of listeners) listener(current);
}

export const onLanguage = (listener) => listeners.push(listener);
