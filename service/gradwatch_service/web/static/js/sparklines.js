// Loss and gradient norm beside each run, drawn when the row comes into view, many at a time.
import { get } from "./api.js";
import { draw } from "./spark.js";

const MOST = 50;
const PAUSE = 60;
const AGAIN = 5000; // a run that goes on is drawn again after so long

const drawn = new Map(); // run -> when
const due = new Set();
let timer = 0;

const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    target.toggleAttribute("data-seen", isIntersecting);
    if (isIntersecting && !target.hasAttribute("data-drawn")) ask(target);
  }
}, { rootMargin: "150px" });

const runOf = (row) => row.id.slice(2);
const rowOf = (run) => document.getElementById(`r-${run}`);

function ask(row) {
  due.add(runOf(row));
  timer ||= setTimeout(fetchDue, PAUSE);
}

async function fetchDue() {
  const batch = [...due].slice(0, MOST);
  for (const run of batch) due.delete(run);
  timer = due.size ? setTimeout(fetchDue, PAUSE) : 0;
  try {
    const { items } = await get("/sparklines", { run: batch });
    for (const item of items) show(item);
  } catch {
    setTimeout(() => batch.map(rowOf).filter((row) => row && isSeen(row)).forEach(ask), AGAIN);
  }
}

function show(item) {
  const row = rowOf(item.run_id);
  if (!row) return;
  drawn.set(item.run_id, Date.now());
  row.toggleAttribute("data-drawn", true);
  for (const cell of row.querySelectorAll(".c-spark")) {
    cell.replaceChildren(draw(cell.dataset.metric, item[cell.dataset.metric]));
  }
}

/** Draw this row as soon as somebody can see it. */
export function watch(row) {
  watcher.observe(row);
}

/** Keep what was drawn for the row that `after` replaces, and draw it again in a while. */
export function inherit(before, after) {
  const cells = after.querySelectorAll(".c-spark");
  before.querySelectorAll(".c-spark").forEach((cell, at) => cells[at].append(...cell.childNodes));
  after.toggleAttribute("data-drawn", before.hasAttribute("data-drawn"));
  after.toggleAttribute("data-seen", before.hasAttribute("data-seen"));
  watcher.unobserve(before);
}

/** Whether somebody can see the row now. */
export const isSeen = (row) => row.hasAttribute("data-seen");

/** The run went on: its curves are old, if they were drawn a while ago. */
export function grown(row) {
  const age = Date.now() - (drawn.get(runOf(row)) ?? 0);
  if (age < AGAIN) return;
  if (isSeen(row)) ask(row);
  else row.removeAttribute("data-drawn");
}
