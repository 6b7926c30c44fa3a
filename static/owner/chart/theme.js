// The colours of charts are those of the page: names of CSS variables in, values out, again when the theme changes.

const drawn = new Set();

/** The present value of a CSS variable, such as `--accent`. */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Calls `draw` whenever the theme changes, for as long as `el` is in the page. */
export function onTheme(el, draw) {
  drawn.add({ el, draw });
}

function again() {
  for (const one of drawn) {
    if (one.el.isConnected) one.draw();
    else drawn.delete(one);
  }
}

new MutationObserver(again).observe(document.documentElement, { attributeFilter: ["data-theme"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
