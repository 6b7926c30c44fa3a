// The chat page: who is asked, the composer, and the list of turns.

import { sentence } from "./api.js";
import { Session, demoTenants } from "./chat-session.js";
import { Turn } from "./chat-turn.js";
import { $, fill, h, icon, pageSwitches } from "./dom.js";
import * as i18n from "./i18n.js";

const page = {
  tenant: $("#tenant"),
  fresh: $("#new"),
  key: $("#key"),
  gate: $("#gate"),
  welcome: $("#welcome"),
  log: $("#log"),
  composer: $("#composer"),
  question: $("#question"),
  go: $("#go"),
};

let tenants = null;
let session = null;
let running = null;

// --- starting ---

async function boot() {
  fill(page.gate);
  page.gate.hidden = true;
  try {
    tenants = await demoTenants();
  } catch (problem) {
    const again = h("button", { type: "button", class: "button", i18n: "retry", on: { click: boot } });
    fill(page.gate, h("div", { class: "alert", role: "alert" }, h("p", { i18n: sentence(problem) }), h("div", { class: "actions" }, again)));
    page.gate.hidden = false;
    return;
  }
  if (tenants === null) {
    session = new Session(null);
    page.key.hidden = false;
    if (session.hasKey) begin();
    else askForKey(false);
    return;
  }
  fill(page.tenant, tenants.map((tenant) => h("option", { value: tenant.slug }, tenant.name)));
  const asked = new URLSearchParams(location.search).get("tenant");
  if (tenants.some((tenant) => tenant.slug === asked)) page.tenant.value = asked;
  page.tenant.hidden = tenants.length < 2;
  begin();
}

/** An empty conversation with the chosen tenant. */
function begin() {
  running?.abort();
  if (tenants !== null) session = new Session(page.tenant.value);
  else session = new Session(null);
  page.log.replaceChildren();
  page.gate.hidden = true;
  page.composer.hidden = false;
  showWelcome();
  showButton();
  if (matchMedia("(pointer: fine)").matches) page.question.focus();
}

function askForKey(refused) {
  session.forgetKey();
  page.composer.hidden = true;
  page.welcome.hidden = true;
  const input = h("input", { id: "credential", class: "input", type: "password", autocomplete: "off", required: true, spellcheck: "false" });
  const submit = (event) => {
    event.preventDefault();
    const key = input.value.trim();
    if (!key) return;
    session.useKey(key);
    begin();
  };
  fill(
    page.gate,
    h(
      "div",
      { class: "card" },
      h("h2", { i18n: "key_title" }),
      h("p", { i18n: "key_about" }),
      h(
        "form",
        { on: { submit } },
        refused && h("p", { class: "alert", role: "alert", i18n: "key_refused" }),
        h("div", { class: "field" }, h("label", { for: "credential", i18n: "key_label" }), input),
        h("button", { class: "button primary", i18n: "key_use" }),
      ),
    ),
  );
  page.gate.hidden = false;
  input.focus();
}

function showWelcome() {
  page.welcome.hidden = page.log.childElementCount > 0;
  if (page.welcome.hidden) return;
  const tenant = tenants?.find((one) => one.slug === page.tenant.value);
  const suggestions = tenant?.suggestions?.[i18n.language()] ?? tenant?.suggestions?.en ?? [];
  fill(
    page.welcome,
    h(
      "div",
      { class: "welcome" },
      h("h2", { i18n: "greeting" }),
      tenant && h("p", { i18n: ["greeting_about", { name: tenant.name }] }),
      suggestions.length > 0 &&
        h(
          "ul",
          { class: "suggestions", label: "suggestions" },
          suggestions.map((text) => h("li", {}, h("button", { type: "button", on: { click: () => ask(text) } }, text))),
        ),
    ),
  );
}

// --- asking ---

async function ask(question) {
  if (running) return;
  const abort = new AbortController();
  running = abort;
  const mine = session;
  const turn = new Turn(question, mine);
  page.log.append(turn.el);
  showWelcome();
  showButton();
  turn.el.scrollIntoView({ block: "start", behavior: "smooth" });
  try {
    for await (const { event, data } of mine.ask(question, abort.signal)) {
      if (event === "start") turn.start(data);
      else if (event === "sources") turn.sources(data.sources ?? []);
      else if (event === "delta") turn.delta(data.text ?? "");
      else if (event === "end") turn.end(data);
      follow();
    }
  } catch (problem) {
    if (abort.signal.aborted) turn.stopped();
    else if (problem.status === 401 && mine.slug === null) {
      turn.el.remove();
      askForKey(true);
    } else {
      turn.fail(problem, () => {
        if (running) return;
        turn.el.remove();
        ask(question);
      });
    }
  } finally {
    if (running === abort) running = null;
    showButton();
    follow();
  }
}

/** Keeps the end in view while the reader is at the end. */
function follow() {
  const root = document.documentElement;
  const left = root.scrollHeight - root.clientHeight - root.scrollTop;
  if (left < 160) requestAnimationFrame(() => root.scrollTo({ top: root.scrollHeight }));
}

// --- the composer ---

function showButton() {
  const action = running ? "stop" : "send";
  if (page.go.dataset.action !== action) {
    page.go.dataset.action = action;
    i18n.bind(page.go, "aria-label", action);
    i18n.bind(page.go, "title", action);
    fill(page.go, icon(action));
  }
  page.go.disabled = !running && page.question.value.trim() === "";
}

function grow() {
  page.question.style.height = "auto";
  page.question.style.height = `${page.question.scrollHeight}px`;
  showButton();
}

page.question.addEventListener("input", grow);

page.question.addEventListener("keydown", (event) => {
  // While an input method composes (Vietnamese, Chinese …), Enter belongs to it.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  if (!running) page.composer.requestSubmit();
});

page.composer.addEventListener("submit", (event) => {
  event.preventDefault();
  if (running) {
    running.abort();
    return;
  }
  const question = page.question.value.trim();
  if (question === "") return;
  page.question.value = "";
  grow();
  ask(question);
});

page.tenant.addEventListener("change", begin);
page.fresh.addEventListener("click", () => session && session.hasKey && begin());
page.key.addEventListener("click", () => {
  running?.abort();
  page.log.replaceChildren();
  askForKey(false);
});

fill(page.fresh, icon("plus"));
$("#switches").append(...pageSwitches(i18n));
i18n.onLanguage(showWelcome);
i18n.translate();
boot();
