// The rows and cards of the board, exchanged for what the server renders anew.
import { showCount, wanted } from "./filters.js";
import { fragment } from "./fragment.js";
import { grown, inherit, isSeen, watch } from "./sparklines.js";

const AT_ONCE = 100;
const elsewhere = new Map(); // runs that this list does not show, and what they were like
const body = () => document.getElementById("rows");
const urgency = (row) => Number(row.dataset.urgency);

/** A list that has come: the rows' curves are drawn when they come into view. */
export function watchAll() {
  for (const row of body()?.rows ?? []) watch(row);
}

/** Another list instead of this one. */
export function replaceList(fresh) {
  document.getElementById("runs").replaceWith(fresh);
  elsewhere.clear();
  watchAll();
}

/** Fetch the list again. */
export async function refetchList() {
  const query = wanted();
  const page = new URLSearchParams(location.search).get("page");
  if (page) query.set("page", page);
  replaceList(await fragment("/board/runs", query));
}

/** A row whose urgency is the same stays where it is; another goes before those that can wait. */
function place(row) {
  const before = document.getElementById(row.id);
  const isFocused = before?.contains(document.activeElement);
  if (before) inherit(before, row);
  if (before && before.dataset.urgency === row.dataset.urgency) {
    before.replaceWith(row);
  } else {
    before?.remove();
    const next = [...body().rows].find((one) => urgency(one) >= urgency(row));
    body().insertBefore(row, next ?? null);
  }
  if (isFocused) row.querySelector("a")?.focus();
  watch(row);
  grown(row);
}

const sum = (run) => `${run.health} ${run.state} ${run.open_alerts}`;
const sumOf = ({ dataset }) => `${dataset.health} ${dataset.state} ${dataset.open}`;

/** Whether a row that is not there yet belongs on this page: others may have room for it. */
function belongs(row) {
  const list = document.getElementById("runs");
  if (list.hasAttribute("data-continued")) return false;
  return !list.hasAttribute("data-partial") || urgency(row) < urgency(body().lastElementChild);
}

/** Runs that changed: rows that somebody sees, that are new, or that say what is no longer so. */
export async function renew(runs) {
  if (document.getElementById("runs").hasAttribute("data-empty")) return location.reload();
  if (!body()) return refetchList();
  const due = [];
  for (const run of runs) {
    const row = document.getElementById(`r-${run.id}`);
    const says = row ? sumOf(row) : elsewhere.get(run.id);
    if (says !== sum(run) || (row && isSeen(row))) due.push(run);
    else if (row) grown(row);
  }
  for (let at = 0; at < due.length; at += AT_ONCE) await renewSome(due.slice(at, at + AT_ONCE));
  return undefined;
}

async function renewSome(runs) {
  const [query, asked] = [wanted(), wanted().toString()];
  for (const run of runs) query.append("run", run.id);
  const fresh = await fragment("/board/rows", query);
  if (wanted().toString() !== asked) return; // the list is another by now
  const shown = new Map([...fresh.children].map((row) => [row.id, row]));
  for (const run of runs) {
    const there = document.getElementById(`r-${run.id}`);
    const row = shown.get(`r-${run.id}`);
    if (row && (there || belongs(row))) {
      place(row);
      continue;
    }
    there?.remove();
    elsewhere.set(run.id, sum(run));
  }
  if (!document.getElementById("runs").hasAttribute("data-partial")) showCount(body().rows.length);
}

/** The open alerts anew; what has not changed stays, so that nobody's focus is lost. */
export async function renewAlerts() {
  const fresh = await fragment("/board/alerts", wanted());
  const section = document.getElementById("urgent");
  const focused = section.contains(document.activeElement) && document.activeElement.closest("li")?.id;
  section.replaceWith(fresh);
  if (focused) document.getElementById(focused)?.querySelector("a")?.focus();
  return document.getElementById("urgent");
}
