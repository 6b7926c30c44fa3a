// The screens that there are, in the order of the navigation. One that is not in this list is in no menu.
// `letter`: the letter after `g` that goes there. `group`: screens of a group stand together.

export const SCREENS = [
  { name: "overview", group: 1, letter: "o", load: () => import("./screens/overview.js") },
  { name: "logs", group: 1, letter: "l", load: () => import("./screens/logs.js") },
  { name: "handoffs", group: 2, letter: "h", load: () => import("./screens/handoffs.js") },
  { name: "trace", load: () => import("./screens/trace.js") },
  { name: "feedback", group: 2, letter: "f", load: () => import("./screens/feedback.js") },
  { name: "gaps", group: 2, letter: "k", load: () => import("./screens/gaps.js") },
  { name: "alerts", group: 2, letter: "a", load: () => import("./screens/alerts.js") },
  { name: "tenants", group: 3, letter: "t", load: () => import("./screens/tenants.js") },
  { name: "usage", group: 3, letter: "u", load: () => import("./screens/usage.js") },
  { name: "isolation", group: 4, letter: "i", load: () => import("./screens/isolation.js") },
  { name: "system", group: 4, letter: "s", load: () => import("./screens/system.js") },
  { name: "audit", group: 4, letter: "d", load: () => import("./screens/audit.js") },
  { name: "settings", group: 4, letter: "e", load: () => import("./screens/settings.js") },
];

export const screenNamed = (name) => SCREENS.find((one) => one.name === name);
