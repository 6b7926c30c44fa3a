// Requests as they end: a stream of lines in, rows on top of a table out. Pausing holds them back, bounded.

import { fill, h, icon } from "../../dom.js";
import { number } from "../../format.js";
import { DIMENSIONS, picked } from "../router.js";

const MOST = 200;

/** Why a list cannot be followed: the key of a sentence, or nothing. */
export function whyNotLive(state) {
  if (state.q) return "live_not_with_search";
  if (state.range === "custom" && state.until) return "live_not_in_past";
  if (state.cursor) return "live_not_older";
  return state.feedback || state.handoff ? "live_not_with_these" : null;
}

/** Opens the stream at once; lines wait until `show` is called with what takes a line. Ends with `signal`. */
export class Live {
  constructor(state, signal) {
    this.waiting = [];
    this.paused = false;
    this.take = null;
    this.state = state;
    this.signal = signal;
    this.control = h("span", { class: "live", role: "status" });
    this.open();
    signal.addEventListener("abort", () => this.source.close());
    this.draw();
  }

  open() {
    const query = new URLSearchParams(picked(this.state, ["tenant_id", ...DIMENSIONS]));
    this.source = new EventSource(`/owner/api/logs/tail?${query}`);
    this.source.addEventListener("open", () => this.draw());
    this.source.addEventListener("error", () => this.draw());
    this.source.addEventListener("line", (event) => {
      const item = JSON.parse(event.data);
      if (!passes(item, this.state)) return;
      this.waiting.push(item);
      if (this.waiting.length > MOST) this.waiting.shift();
      this.flow();
    });
  }

  /** `take(item)` puts a line on top. */
  show(take) {
    this.take = take;
    this.flow();
  }

  flow() {
    if (this.take && !this.paused) for (const item of this.waiting.splice(0)) this.take(item);
    this.draw();
  }

  draw() {
    const state = this.source.readyState === EventSource.CLOSED ? "ended" : this.source.readyState === EventSource.CONNECTING ? "connecting" : this.paused ? "paused" : "on";
    if (state === "ended") {
      const again = () => {
        this.open();
        this.draw();
      };
      fill(this.control, h("span", { class: "badge bad", i18n: "live_ended" }), h("button", { type: "button", class: "button", i18n: "retry", on: { click: again } }));
      return;
    }
    const toggle = () => {
      this.paused = !this.paused;
      this.flow();
    };
    const held = this.paused && this.waiting.length > 0;
    fill(
      this.control,
      h("i", { class: `dot ${state}`, "aria-hidden": "true" }),
      h("span", { class: "small", i18n: held ? ["live_held", { n: number(this.waiting.length) }] : `live_${state}` }),
      h("button", { type: "button", class: "quiet", data: { live: this.paused ? "resume" : "pause" }, label: this.paused ? "live_resume" : "live_pause", tip: this.paused ? "live_resume" : "live_pause", "aria-pressed": String(this.paused), on: { click: toggle } }, icon(this.paused ? "play" : "pause")),
    );
  }
}

// The rest of the filter, which the stream does not know.
function passes(item, state) {
  const tokens = (item.input_tokens ?? 0) + (item.output_tokens ?? 0);
  const within = (value, least, most) => (!least || value >= Number(least)) && (!most || value <= Number(most));
  return (
    within(item.latency_ms, state.min_ms && Math.floor(state.min_ms), state.max_ms) &&
    within(item.cost_usd ?? 0, state.min_cost, state.max_cost) &&
    within(tokens, state.min_tokens, state.max_tokens) &&
    (!state.reason || item.reason === state.reason) &&
    (!state.cache || item.cache === state.cache)
  );
}
