// One trace above whatever screen is open. The address says which: `trace`, and `tab` for its part.

import { $, fill, h, icon } from "../dom.js";
import { failure } from "./failure.js";

export class TraceDrawer {
  /** `state()` is the present state of the address. */
  constructor(dialog, tools, state) {
    this.dialog = dialog;
    this.tools = tools;
    this.state = state;
    this.opening = null;
    this.shown = "";
    this.ended = new AbortController();
    const { signal } = this.ended;
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      this.close();
    }, { signal });
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) this.close();
    }, { signal });
  }

  /** Shows what the address says. */
  async sync() {
    const { trace, tab = "", screen } = this.state();
    const wanted = trace && screen !== "trace" ? trace : "";
    if (wanted === this.shown) {
      if (wanted) this.view?.tab(tab);
      this.drawHead();
      return;
    }
    this.opening?.abort();
    this.view = null;
    const before = this.shown;
    this.shown = wanted;
    if (!wanted) {
      this.dialog.close();
      $(`#screen [data-row="${CSS.escape(before)}"]`)?.focus();
      return;
    }
    this.opening = new AbortController();
    const { signal } = this.opening;
    this.head = h("header", {});
    const body = h("div", { class: "body", tabindex: "-1", "aria-busy": "true" }, h("p", { class: "nothing", i18n: "loading" }));
    fill(this.dialog, this.head, body);
    this.drawHead();
    if (!this.dialog.open) this.dialog.showModal();
    body.focus();
    try {
      const { traceView } = await import("./trace/view.js");
      const view = await traceView(wanted, tab, signal, this.tools);
      if (signal.aborted) return;
      this.view = view;
      fill(body, view.nodes);
    } catch (problem) {
      if (signal.aborted || problem.status === 401) return;
      fill(body, failure(problem, () => {
        this.shown = "";
        this.sync();
      }));
    }
    body.removeAttribute("aria-busy");
  }

  drawHead() {
    if (!this.shown) return;
    const rows = this.tools.rows();
    const at = rows.findIndex((row) => row.id === this.shown);
    const neighbour = (row) => row && (() => this.tools.openTrace(row.id));
    const button = (name, label, act, data = {}) => h("button", { type: "button", class: "quiet", label, tip: label, disabled: !act, data, on: act ? { click: act } : {} }, icon(name));
    const link = h("a", { class: "quiet", href: this.tools.link("trace", { trace: this.shown }), label: "trace_page", tip: "trace_page" }, icon("expand"));
    const failed = at >= 0 ? rows.slice(at + 1).find((row) => row.failed) : undefined;
    fill(
      this.head,
      h("h2", { i18n: "trace" }),
      at >= 0 && h("span", { class: "small", i18n: ["trace_of", { n: at + 1, all: rows.length }] }),
      h("span", { class: "spring" }),
      button("previous", "previous_trace", at > 0 ? neighbour(rows[at - 1]) : null, { go: "previous" }),
      button("next", "next_trace", at >= 0 ? neighbour(rows[at + 1]) : null, { go: "next" }),
      h("button", { type: "button", hidden: true, data: { go: "failed" }, on: { click: neighbour(failed) ?? (() => {}) } }),
      link,
      button("close", "close", () => this.close(), { close: "" }),
    );
  }

  close() {
    this.tools.above({ trace: "", tab: "" });
  }

  end() {
    this.ended.abort();
    this.opening?.abort();
    this.shown = "";
    fill(this.dialog);
  }
}
