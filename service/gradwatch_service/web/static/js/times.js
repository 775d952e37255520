// Times as people say them: "12 s ago", kept fresh, the exact local time in the title; with
// `data-exact` the local time itself.

const STEPS = [
  ["d", 86_400],
  ["h", 3_600],
  ["min", 60],
];
const FRESH_MS = 1_000;
const SHORT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const EXACT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

/** How long ago, or in how long, in its largest unit. */
export function relative(moment, now = Date.now()) {
  const seconds = Math.round((now - moment) / 1_000);
  const distance = Math.abs(seconds);
  if (distance < 2) return "now";
  const [unit, size] = STEPS.find(([, length]) => distance >= length) ?? ["s", 1];
  const count = `${Math.floor(distance / size)} ${unit}`;
  return seconds > 0 ? `${count} ago` : `in ${count}`;
}

function refresh(element) {
  const moment = Date.parse(element.dateTime);
  if (Number.isNaN(moment)) return;
  const words = "exact" in element.dataset ? SHORT.format(moment) : relative(moment);
  if (element.textContent !== words) element.textContent = words;
  if (element.dataset.shown === element.dateTime) return;
  element.dataset.shown = element.dateTime;
  element.title = EXACT.format(moment);
}

/** Every `<time datetime>` below an element. */
export function refreshAll(root = document) {
  for (const element of root.querySelectorAll("time[datetime]")) refresh(element);
}

/** Keep all of the page fresh, those that come later too. */
export function start() {
  refreshAll();
  setInterval(() => document.hidden || refreshAll(), FRESH_MS);
  new MutationObserver(() => refreshAll()).observe(document.body, {
    subtree: true,
    childList: true,
    attributes: true,
    attributeFilter: ["datetime"],
  });
}
