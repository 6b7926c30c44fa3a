// The screens that there are, in the order of the navigation. One that is not in this list is in no menu.
// `letter`: the letter after `g` that goes there. `group`: screens of a group stand together.

export const SCREENS = [
  { name: "overview", group: 1, letter: "o", load: () => import("./screens/overview.js") },
  { name: "logs", group: 1, letter: "l", load: () => import("./screens/logs.js") },
  { name: "handoffs", group: 2, letter: "h", load: () => import("./screens/handoffs.js") },
  { name: "trace", load: () => import("./screens/trace.js") },
  { name: "feedback", group: 2, letter: "f", load: () => import("./screens/feedback.js") },
  { name: "audit", group: 4, letter: "d", load: () => import("./screens/audit.js") },
  // alerts a | tenants t, usage u | isolation i, system s | settings e
];

export const screenNamed = (name) => SCREENS.find((one) => one.name === name);
