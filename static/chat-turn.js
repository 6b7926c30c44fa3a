// One question and its answer on the page.

import { blocks, cited } from "./answer.js";
import { sentence } from "./api.js";
import { copyButton, fill, h, icon } from "./dom.js";
import { number, score, shortId, visible } from "./format.js";
import { has, t } from "./i18n.js";

// Reasons to give no answer that say nothing about what the documents hold.
const FAILS_CLOSED = ["isolation", "filter_unavailable", "store_unavailable"];

let turns = 0;

export class Turn {
  #id = (turns += 1);
  #text = "";
  #sources = [];
  #drawn = 0;
  #traceId = null;
  #session;

  constructor(question, session) {
    this.#session = session;
    this.body = h("div", { class: "text answer", dir: "auto" });
    this.wait = h("span", { i18n: "thinking" });
    this.progress = h("p", { class: "progress" }, h("span", { class: "dots", "aria-hidden": "true" }, h("i"), h("i"), h("i")), this.wait);
    this.rest = h("div");
    this.el = h(
      "article",
      { class: "turn", "aria-busy": "true", label: "answer" },
      h("div", { class: "asked", dir: "auto" }, h("span", { class: "sr-only", i18n: "you" }), visible(question)),
      this.body,
      this.progress,
      this.rest,
    );
  }

  get text() {
    return this.#text;
  }

  start(data) {
    this.#traceId = data.trace_id ?? null;
  }

  sources(list) {
    this.#sources = list;
  }

  delta(text) {
    if (this.#text === "") fill(this.wait, t("writing"));
    this.#text += text;
    // Once per frame is enough, however fast the pieces come.
    this.#drawn ||= requestAnimationFrame(() => {
      this.#drawn = 0;
      this.#draw();
    });
  }

  end(data) {
    this.#traceId = data.trace_id ?? this.#traceId;
    this.#close();
    fill(this.rest, this.#notes(data), this.#sourceLists(), this.#meta(data));
  }

  stopped() {
    this.#close();
    fill(this.rest, h("ul", { class: "notes" }, h("li", { i18n: "note_stopped" })), this.#text ? this.#sourceLists() : null, this.#traceLine());
  }

  fail(problem, retry) {
    this.#traceId = problem.traceId ?? this.#traceId;
    this.#close();
    const again = h("button", { type: "button", class: "button", i18n: "retry", on: { click: retry } });
    const detail = problem.detail || problem.title;
    fill(
      this.rest,
      h(
        "div",
        { class: "alert", role: "alert" },
        h("p", { i18n: sentence(problem) }),
        detail && h("p", { class: "detail" }, visible(detail)),
        h("div", { class: "actions" }, again, this.#traceId && this.#copyTrace()),
      ),
    );
  }

  #close() {
    cancelAnimationFrame(this.#drawn);
    this.#draw();
    this.progress.remove();
    this.el.setAttribute("aria-busy", "false");
  }

  #draw() {
    fill(this.body, blocks(this.#text, (n) => this.#citation(n)));
  }

  // --- citations and sources ---

  #citation(n) {
    const source = this.#sources.find((s) => s.n === n);
    if (!source) return null;
    const go = (event) => {
      event.preventDefault();
      this.#show(n);
    };
    return h("a", { class: "cite", href: `#${this.#anchor(n)}`, label: ["source_n", { n, title: titleOf(source) }], tip: ["source_n", { n, title: titleOf(source) }], on: { click: go } }, n);
  }

  #anchor(n) {
    return `source-${this.#id}-${n}`;
  }

  #show(n) {
    const item = document.getElementById(this.#anchor(n));
    if (!item) return;
    item.closest("details.more")?.setAttribute("open", "");
    const details = item.querySelector("details");
    details.open = true;
    item.scrollIntoView({ block: "nearest", behavior: "smooth" });
    details.querySelector("summary").focus({ preventScroll: true });
    item.classList.add("shown");
    setTimeout(() => item.classList.remove("shown"), 1400);
  }

  #sourceLists() {
    if (!this.#sources.length) return null;
    const used = cited(this.#text);
    let main = this.#sources.filter((s) => used.has(s.n));
    if (!main.length) main = this.#sources;
    const others = this.#sources.filter((s) => !main.includes(s));
    const list = (sources) => h("ol", {}, sources.map((s) => this.#source(s)));
    return h(
      "section",
      { class: "sources" },
      h("h2", { i18n: "sources" }),
      list(main),
      others.length > 0 && h("details", { class: "more" }, h("summary", { i18n: ["more_sources", { n: others.length }] }), list(others)),
    );
  }

  #source(source) {
    const title = titleOf(source);
    const file = source.file_name && source.file_name !== title ? source.file_name : null;
    return h(
      "li",
      { id: this.#anchor(source.n) },
      h(
        "details",
        {},
        h(
          "summary",
          {},
          h("span", { class: "n" }, source.n),
          h("span", { class: "name" }, h("bdi", {}, title), file && h("bdi", { class: "file" }, visible(file))),
          typeof source.score === "number" && h("span", { class: "score", tip: "score" }, score(source.score)),
        ),
        h("p", { class: "snippet", dir: "auto" }, visible(source.snippet)),
      ),
    );
  }

  // --- what stands under an answer ---

  #notes(data) {
    const notes = [];
    if (data.llm_provider === "extractive" && (data.finish === "stop" || data.finish === "length")) notes.push("note_extractive");
    if (data.finish === "abstained" && FAILS_CLOSED.includes(data.finish_reason)) notes.push("note_fail_closed");
    else if (data.finish && data.finish !== "stop" && has(`note_${data.finish}`)) notes.push(`note_${data.finish}`);
    if (data.degraded?.length) notes.push(["note_degraded", { list: data.degraded.join(", ") }]);
    const ticket = data.tool_metadata?.ticket_id;
    if (ticket !== undefined && ticket !== null) notes.push(["note_ticket", { id: visible(ticket) }]);
    return notes.length > 0 && h("ul", { class: "notes" }, notes.map((note) => h("li", { i18n: note })));
  }

  #meta(data) {
    const said = h("p", { class: "said", role: "status" });
    const slot = h("div");
    const tokens = data.usage?.total_tokens;
    return h(
      "footer",
      {},
      h(
        "div",
        { class: "meta" },
        this.#traceId && this.#thumbs(slot, said),
        data.route && routeBadge(data.route),
        data.llm_provider && data.llm_provider !== "extractive" && h("span", {}, visible(data.llm_model || data.llm_provider)),
        tokens > 0 && h("span", { class: "wide-only", i18n: [data.usage.estimated ? "tokens_estimated" : "tokens", { n: number(tokens) }] }),
        this.#traceId && this.#copyTrace(),
      ),
      slot,
      said,
    );
  }

  #traceLine() {
    return this.#traceId && h("div", { class: "meta" }, this.#copyTrace());
  }

  #copyTrace() {
    const copy = copyButton(this.#traceId, shortId(this.#traceId), "copy_trace");
    copy.classList.add("trace");
    return copy;
  }

  #thumbs(slot, said) {
    const button = (name, label, rating) =>
      h("button", { type: "button", class: "quiet", label, tip: label, "aria-pressed": "false", on: { click: () => rate(rating) } }, icon(name));
    const up = button("up", "helpful", 1);
    const down = button("down", "not_helpful", -1);
    const save = async (rating, comment) => {
      said.textContent = "";
      try {
        await this.#session.rate(this.#traceId, rating, comment);
        return true;
      } catch {
        fill(said, h("span", { i18n: "feedback_failed" }));
        return false;
      }
    };
    const rate = async (rating) => {
      if (!(await save(rating))) return;
      up.setAttribute("aria-pressed", String(rating === 1));
      down.setAttribute("aria-pressed", String(rating === -1));
      fill(slot, this.#comment(async (comment) => {
        if (comment && !(await save(rating, comment))) return;
        slot.replaceChildren();
        fill(said, h("span", { i18n: "comment_thanks" }));
      }));
    };
    return h("span", { class: "thumbs", role: "group", label: "feedback" }, up, down);
  }

  #comment(done) {
    const id = `comment-${this.#id}`;
    const area = h("textarea", { id, class: "input", rows: 2, maxlength: 2000 });
    const submit = (event) => {
      event.preventDefault();
      done(area.value.trim());
    };
    return h(
      "form",
      { class: "comment", on: { submit } },
      h("label", { class: "field", for: id, i18n: "comment_label" }),
      area,
      h(
        "div",
        { class: "actions" },
        h("button", { class: "button primary", i18n: "comment_send" }),
        h("button", { type: "button", class: "button", i18n: "comment_skip", on: { click: () => done("") } }),
      ),
    );
  }
}

function titleOf(source) {
  return visible(source.title || source.file_name || source.doc_id || "");
}

function routeBadge(route) {
  const known = has(`route_${route}`);
  return h("span", { class: "badge accent", tip: ["route_hint", { route }], ...(known ? { i18n: `route_${route}` } : {}) }, known ? null : visible(route));
}
