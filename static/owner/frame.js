// The frame: navigation, the shared filter of tenant and time, and the screen inside.
//
// A screen is a module `screens/NAME.js`, registered in screens.js, with the key `screen_NAME` in the catalogues, that exports
//
//   load(state, signal, tools) → a node or a list of nodes (or a promise of it), which then is the screen
//   fields (optional)          → names of the shared filter's fields that the screen knows besides tenant and time
//   dated = false (optional)   → the screen has no use for tenant and time, which then are not shown
//   tenanted = false (optional) → it has no use for the tenant alone
//
// It is called again whenever the address changes (but for the drawer's part of it), and on refresh. `signal` is aborted when
// the screen is left or loaded anew. A screen keeps no state of its own: what it shows follows from `state`, and it changes
// that by
//
//   tools.go(patch, {replace})   changes fields of the address and loads; goes back to the first page
//   tools.page(patch)            goes to another page of the same list
//   tools.to(screen, patch)      goes to another screen with the same shared filter
//   tools.link(screen, patch)    the address of that, for an <a>: plain clicks on it stay inside the page
//   tools.get(path, query)       JSON of the owner's API; path without `/owner/api`; ends with the screen
//   tools.post / put / remove    the same with a body; not ended by leaving the screen
//   tools.tenants(), tools.tenantName(id)
//   tools.results(rows)          the rows of a list as [{ id, failed }], which previous and next in the drawer walk over
//   tools.openTrace(id)          shows a trace in the drawer
//   tools.zone(name)             tells the reporting time zone, as figures come with it; all times are shown in it
//   tools.say(key or [key, args]) tells a screen reader something
//   tools.reload()               loads the same again
//   tools.fieldText(name)        the label of a field of the filter
//
// A thrown Problem shows as an alert with a way to try again, above the older content where there is one.

import { $, fill, h, icon, pageSwitches } from "../dom.js";
import { number, setZone, visible, when, zone } from "../format.js";
import * as i18n from "../i18n.js";
import { failure } from "./failure.js";
import { help, keys } from "./keys.js";
import { palette } from "./palette.js";
import { RANGES, changed, elsewhere, href, isDate, read, sameBelow, write } from "./router.js";
import { SCREENS, screenNamed } from "./screens.js";
import { TraceDrawer } from "./drawer.js";

const AGE_SHOWN = 60_000;

export class Frame {
  /** `api`: {get, send} that know what to do when the session is over. `tenants`: the first page of them. `leave()` signs out. */
  constructor(root, { api, tenants, leave }) {
    this.root = root;
    this.api = api;
    this.all = tenants.items;
    this.more = Boolean(tenants.next);
    this.leave = leave;
    this.state = read();
    this.rows = [];
    this.loading = null;
    this.loaded = 0;
    this.tools = this.makeTools();
    this.drawer = new TraceDrawer($("#drawer"), this.tools, () => this.state);
    this.layOut();
    this.listen();
  }

  makeTools() {
    return {
      go: (patch, how) => this.show(changed(this.state, patch), how),
      page: (patch) => {
        this.show({ ...this.state, ...patch });
        scrollTo({ top: 0 });
      },
      to: (screen, patch) => this.show(elsewhere(this.state, screen, patch)),
      link: (screen, patch) => href(elsewhere(this.state, screen, patch)),
      get: (path, query, signal = this.loading?.signal) => this.api("GET", path, { query, signal }),
      post: (path, body) => this.api("POST", path, { body }),
      put: (path, body) => this.api("PUT", path, { body }),
      remove: (path) => this.api("DELETE", path),
      tenants: () => this.all,
      tenantName: (id) => this.all.find((one) => one.id === id)?.name ?? id ?? "",
      results: (rows) => (this.rows = rows),
      rows: () => this.rows,
      openTrace: (id) => this.show({ ...this.state, trace: id }, { replace: Boolean(this.state.trace) && this.state.screen !== "trace" }),
      above: (patch, how) => this.show({ ...this.state, ...patch }, how),
      zone: (name) => this.hasZone(name),
      say: (key) => i18n.bind(this.said, "text", key),
      reload: () => this.load(),
      fieldText: (name) => i18n.t(`field_${name}`),
      signal: () => this.loading?.signal,
    };
  }

  // --- what stands around the screen ---

  layOut() {
    this.nav = h("nav", { class: "nav", label: "screens" });
    this.side = h("div", { class: "side" }, brand(), this.nav, h("div", { class: "side-foot" }, h("a", { class: "nav-link", href: "/" }, icon("chat"), h("span", { i18n: "chat_link" })), h("button", { type: "button", class: "nav-link", on: { click: () => this.leave() } }, icon("leave"), h("span", { i18n: "sign_out" }))));
    this.heading = h("h1", {});
    this.filters = h("form", { class: "shared", role: "search", label: "filters", on: { submit: (event) => event.preventDefault() } });
    this.zoneText = h("span", { class: "zone", tip: "zone_tip" }, zone());
    this.zoneFoot = h("span", {}, zone());
    this.age = h("span", { class: "updated", role: "status" });
    this.said = h("p", { class: "sr-only", role: "status" });
    this.notice = h("div", { class: "notice" });
    this.screen = h("div", { id: "screen" });
    const menu = h("button", { type: "button", class: "quiet menu", label: "menu", tip: "menu", on: { click: () => this.menu() } }, icon("menu"));
    const quiet = (name, label, click) => h("button", { type: "button", class: "quiet", label, tip: label, on: { click } }, icon(name));
    const top = h(
      "header",
      { class: "top" },
      menu,
      this.heading,
      this.filters,
      this.zoneText,
      h(
        "div",
        { class: "switches" },
        this.age,
        quiet("refresh", "refresh", () => this.load()),
        quiet("search", "palette", () => this.openPalette()),
        h("span", { class: "wide-only help" }, quiet("help", "key_help", help)),
        pageSwitches(i18n),
      ),
    );
    fill(this.root, h("div", { class: "frame" }, this.side, h("div", { class: "pane" }, top, h("main", { id: "main", tabindex: "-1" }, this.notice, this.screen), h("footer", { class: "foot" }, h("span", {}, h("span", { i18n: "times_zone" }), " ", this.zoneFoot), h("span", { class: "keys-hint", i18n: "keys_hint" })))), this.said);
    this.drawNav(this.nav);
  }

  drawNav(nav, after) {
    const groups = Map.groupBy ? Map.groupBy(SCREENS.filter((one) => one.group), (one) => one.group) : new Map([[1, SCREENS]]);
    const link = (one) =>
      h("a", { class: "nav-link", href: href(elsewhere(this.state, one.name)), "aria-current": this.state.screen === one.name ? "page" : null, on: { click: () => after?.() } }, icon(one.name), h("span", { i18n: `screen_${one.name}` }));
    fill(nav, [...groups.values()].map((group) => h("div", { class: "nav-group" }, group.map(link))));
  }

  menu() {
    const nav = h("nav", { class: "nav", label: "screens" });
    const close = () => dialog.close();
    const dialog = h("dialog", { class: "sheet", label: "menu", on: { close: () => dialog.remove(), click: (event) => event.target === dialog && close() } }, h("header", {}, brand(), h("button", { type: "button", class: "quiet", label: "close", on: { click: close } }, icon("close"))), nav, h("div", { class: "side-foot" }, h("a", { class: "nav-link", href: "/" }, icon("chat"), h("span", { i18n: "chat_link" })), h("button", { type: "button", class: "nav-link", on: { click: () => { close(); this.leave(); } } }, icon("leave"), h("span", { i18n: "sign_out" }))));
    this.drawNav(nav, close);
    document.body.append(dialog);
    dialog.showModal();
  }

  drawFilters(module) {
    if (module.dated === false) {
      fill(this.filters);
      return;
    }
    const { state, tools } = this;
    const focused = this.filters.contains(document.activeElement) ? document.activeElement.id : null;
    const tenant = this.choice("tenant_id", "filter-tenant", "tenant", [h("option", { value: "", i18n: "all_tenants" }), this.all.map((one) => h("option", { value: one.id }, visible(one.name))), this.more && h("option", { disabled: true, i18n: "tenants_more" })]);
    const moments = state.range === "custom" && [state.since, state.until].some((text) => text && !isDate(text));
    const range = this.choice("range", "filter-range", "range", RANGES.map((name) => h("option", { value: name, ...(name === "custom" && moments ? {} : { i18n: `range_${name}` }) }, name === "custom" && moments ? `${edge(state.since)} – ${edge(state.until)}` : null)));
    const date = (field) => {
      const input = h("input", { id: `filter-${field}`, class: "input", type: "date", label: field, tip: field, on: { change: () => tools.go({ [field]: input.value }) } });
      input.value = state[field] ?? "";
      return input;
    };
    fill(this.filters, module.tenanted === false ? null : tenant, range, state.range === "custom" && !moments ? [date("since"), date("until")] : null);
    if (focused) document.getElementById(focused)?.focus();
  }

  /** The tenant of the address is one of the choices, though there are more than are offered. */
  async knowTenant() {
    const id = this.state.tenant_id;
    if (!id || !this.more || this.all.some((one) => one.id === id)) return;
    const one = await this.tools.get(`/tenants/${encodeURIComponent(id)}`).catch(() => null);
    if (one) this.all = [...this.all, one];
  }

  choice(field, id, label, options) {
    const select = h("select", { id, class: "input", label, tip: label }, options);
    select.value = this.state[field] ?? "";
    select.addEventListener("change", () => this.tools.go(field === "range" && select.value !== "custom" ? { range: select.value, since: "", until: "" } : { [field]: select.value }));
    return select;
  }

  openPalette() {
    if (document.querySelector("dialog[open]:not(#drawer)")) return;
    const actions = [["refresh", () => this.load()], ["switch_theme", () => $(".theme").click()], ["key_help", help], ["sign_out", () => this.leave()]];
    palette(this.tools, actions.map(([key, act]) => ({ text: i18n.t(key), act })));
  }

  hasZone(name) {
    if (!name || name === zone()) return;
    setZone(name);
    this.zoneText.textContent = this.zoneFoot.textContent = name;
  }

  // --- moving ---

  show(next, how) {
    const before = this.state;
    const same = sameBelow(before, next);
    this.state = next;
    write(next, how);
    if (same) this.drawer.sync();
    else this.load();
  }

  listen() {
    this.ended = new AbortController();
    const { signal } = this.ended;
    const on = (target, type, act) => target.addEventListener(type, act, { signal });
    on(window, "popstate", () => {
      const before = this.state;
      this.state = read();
      if (sameBelow(before, this.state)) this.drawer.sync();
      else this.load();
    });
    on(document, "click", (event) => {
      const link = event.target.closest?.("a[href]");
      if (!link || event.defaultPrevented || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || link.target) return;
      const url = new URL(link.href);
      if (url.origin !== location.origin || url.pathname !== "/owner" || url.hash) return;
      event.preventDefault();
      this.show(read(url.search));
    });
    i18n.onLanguage(() => signal.aborted || this.load());
    this.clock = setInterval(() => this.drawAge(), 15_000);
    keys({ to: (name) => this.tools.to(name), palette: () => this.openPalette(), drawer: $("#drawer"), ready: () => !signal.aborted });
  }

  // --- loading ---

  async load() {
    this.loading?.abort();
    const mine = new AbortController();
    this.loading = mine;
    const { signal } = mine;
    const entry = screenNamed(this.state.screen) ?? SCREENS[0];
    const fresh = this.shown !== entry.name;
    this.drawNav(this.nav);
    i18n.bind(this.heading, "text", `screen_${entry.name}`);
    document.title = `${i18n.t(`screen_${entry.name}`)} · rag-tower`;
    this.screen.setAttribute("aria-busy", "true");
    if (fresh) {
      if (entry.name !== "trace") this.rows = [];
      fill(this.screen, skeleton());
      scrollTo({ top: 0 });
    }
    this.shown = entry.name;
    try {
      const module = await entry.load();
      await this.knowTenant();
      if (signal.aborted) return;
      this.drawFilters(module);
      const content = await module.load(this.state, signal, this.tools);
      if (signal.aborted) return;
      const focused = this.screen.contains(document.activeElement) ? document.activeElement.id || document.activeElement.dataset.row : null;
      fill(this.screen, content);
      fill(this.notice);
      if (focused) (document.getElementById(focused) ?? $(`[data-row="${CSS.escape(focused)}"]`, this.screen))?.focus({ preventScroll: true });
      this.loaded = Date.now();
      this.drawAge();
      this.drawer.sync();
    } catch (problem) {
      if (signal.aborted || problem.name === "AbortError" || problem.status === 401) return;
      fill(this.notice, failure(problem, () => this.load()));
      if (fresh) fill(this.screen);
      this.drawAge();
    } finally {
      if (this.loading === mine) this.screen.setAttribute("aria-busy", "false");
    }
  }

  drawAge() {
    if (!this.loaded) return;
    const age = Date.now() - this.loaded;
    const minutes = Math.floor(age / 60_000);
    fill(this.age, h("span", { class: age > AGE_SHOWN ? "old" : "", i18n: age > AGE_SHOWN ? ["updated_ago", { n: number(minutes) }] : ["updated", { time: when(Date.now() / 1000, "time") }] }));
  }

  /** Takes everything down: the session is over. */
  end() {
    this.ended.abort();
    this.loading?.abort();
    this.drawer.end();
    clearInterval(this.clock);
    for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  }
}

function brand() {
  return h("a", { class: "brand", href: "/owner" }, h("img", { src: "/static/icon.svg", alt: "", width: "22", height: "22" }), h("span", {}, "rag-tower"));
}

function skeleton() {
  return h("div", { class: "skeleton", "aria-hidden": "true" }, h("i"), h("i"), h("i"));
}

function edge(text) {
  if (!text) return "…";
  if (isDate(text)) return text;
  return when(/^\d+$/.test(text) ? Number(text) : text, "short");
}

