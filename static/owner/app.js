// The owner console: sign-in, and the frame for whoever is signed in.

import { json, sentence } from "../api.js";
import { $, fill, h, pageSwitches } from "../dom.js";
import { setZone } from "../format.js";
import * as i18n from "../i18n.js";
import { failure } from "./failure.js";
import { Frame } from "./frame.js";

// Tenants that a choice of one offers; further ones are found on their screen.
const CHOICES = 200;
const root = $("#frame");
let frame = null;

/** One call of the owner's API; when the session is over, the sign-in comes back. */
async function api(method, path, options = {}) {
  try {
    return await json(`/owner/api${path}`, { method, ...options });
  } catch (problem) {
    if (problem.status === 401) signIn();
    throw problem;
  }
}

async function boot() {
  let tenants;
  try {
    // Figures of a moment are asked for the zone that they come with.
    const [list, now] = await Promise.all([json("/owner/api/tenants", { query: { limit: CHOICES } }), json("/owner/api/metrics", { query: { since: Math.floor(Date.now() / 1000) } })]);
    tenants = list;
    if (now.zone) setZone(now.zone);
  } catch (problem) {
    if (problem.status === 401) signIn();
    else fill(root, h("main", { id: "main", class: "alone" }, failure(problem, boot)));
    return;
  }
  frame = new Frame(root, { api, tenants, leave });
  frame.load();
}

async function leave() {
  try {
    await json("/owner/auth/logout", { method: "POST" });
  } catch (problem) {
    if (problem.status !== 401) {
      fill(frame.notice, failure(problem, leave));
      return;
    }
  }
  signIn();
}

function signIn() {
  frame?.end();
  frame = null;
  document.title = i18n.t("owner_title");
  const said = h("div");
  const name = h("input", { id: "username", class: "input", autocomplete: "username", autocapitalize: "none", spellcheck: "false", required: true });
  const word = h("input", { id: "password", class: "input", type: "password", autocomplete: "current-password", required: true });
  const go = h("button", { class: "button primary", i18n: "sign_in" });
  const submit = async (event) => {
    event.preventDefault();
    go.disabled = true;
    said.replaceChildren();
    try {
      await json("/owner/auth/login", { method: "POST", body: { username: name.value, password: word.value } });
      await boot();
    } catch (problem) {
      const what = problem.status === 401 ? "login_refused" : sentence(problem);
      fill(said, h("p", { class: "alert", role: "alert", i18n: what }));
      word.select();
    } finally {
      go.disabled = false;
    }
  };
  fill(
    root,
    h("header", { class: "bar" }, h("a", { class: "brand", href: "/owner" }, h("img", { src: "/static/icon.svg", alt: "", width: "22", height: "22" }), h("span", {}, "rag-tower")), h("a", { class: "quiet", href: "/", i18n: "chat_link" }), h("span", { class: "switches" }, pageSwitches(i18n))),
    h(
      "main",
      { id: "main", class: "alone", tabindex: "-1" },
      h(
        "div",
        { class: "card" },
        h("h1", { i18n: "login_title" }),
        h("p", { i18n: "login_about" }),
        h("form", { on: { submit } }, said, h("div", { class: "field" }, h("label", { for: "username", i18n: "username" }), name), h("div", { class: "field" }, h("label", { for: "password", i18n: "password" }), word), go),
      ),
    ),
  );
  name.focus();
}

i18n.translate();
boot();
