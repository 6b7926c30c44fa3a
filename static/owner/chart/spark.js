// A line without axes, as large as a word: numbers in, a picture out. Missing ones are gaps.

const NS = "http://www.w3.org/2000/svg";
const WIDE = 100;
const HIGH = 24;

export function spark(values) {
  const known = values.filter((value) => typeof value === "number");
  const svg = document.createElementNS(NS, "svg");
  svg.setAttribute("class", "spark");
  svg.setAttribute("viewBox", `0 0 ${WIDE} ${HIGH}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  if (known.length < 2) return svg;
  const most = Math.max(...known);
  const least = Math.min(0, ...known);
  const x = (n) => ((n / (values.length - 1)) * WIDE).toFixed(2);
  const y = (value) => (HIGH - 1.5 - ((value - least) / (most - least || 1)) * (HIGH - 3)).toFixed(2);
  let line = "";
  let area = "";
  let start = -1;
  values.forEach((value, n) => {
    const there = typeof value === "number";
    if (there) line += `${start < 0 ? "M" : "L"}${x(n)} ${y(value)}`;
    if (there && start < 0) {
      start = n;
      area += `M${x(n)} ${HIGH}`;
    }
    if (there) area += `L${x(n)} ${y(value)}`;
    if (start >= 0 && (!there || n === values.length - 1)) {
      area += `L${x(there ? n : n - 1)} ${HIGH}Z`;
      start = -1;
    }
  });
  for (const [kind, d] of [["area", area], ["line", line]]) {
    const path = document.createElementNS(NS, "path");
    path.setAttribute("class", kind);
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}
