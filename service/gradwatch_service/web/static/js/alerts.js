// The list of alerts: selecting, acting, and rows that come and change by themselves.
import { act, given, recall, say } from "./alert-acts.js";
import { current, keyboard } from "./alert-keys.js";
import { list, refresh, refreshAll } from "./alert-rows.js";
import { listen } from "./live.js";

const form = document.getElementById("act");
const all = document.getElementById("all");
const chosen = document.getElementById("chosen");
const said = document.getElementById("said");
const NARROW = matchMedia("(max-width: 40rem)");
const SHOWN = { acknowledge: "acknowledged", resolve: "resolved", silence: "silenced" };

const boxes = () => [...list.querySelectorAll(".pick input:not(:disabled)")];
const rowOf = (id) => document.getElementById(`alert-${id}`);

function count() {
  const marked = boxes().filter((box) => box.checked).length;
  chosen.textContent = marked ? `${marked} selected` : "Select all";
  all.checked = marked > 0 && marked === boxes().length;
  all.indeterminate = marked > 0 && !all.checked;
}

function mark(wanted, checked) {
  for (const box of wanted) box.checked = checked;
  count();
}

/** What is selected; else the row that somebody is at. */
function targets() {
  const rows = boxes().filter((box) => box.checked).map((box) => box.closest(".alert"));
  if (rows.length || !current()) return rows;
  return [current()];
}

/** Show at once what was asked for; it is not said to be so before the service says it. */
function hope(rows, kind) {
  for (const row of rows) {
    row.setAttribute("aria-busy", "true");
    row.querySelector(".state").textContent = `${SHOWN[kind]}…`;
  }
}

let isBusy = false;

async function doIt(kind) {
  if (isBusy || form.querySelector(`[data-act=${kind}]`).disabled) return;
  isBusy = true;
  try {
    await carryOut(kind);
  } finally {
    isBusy = false;
  }
}

async function carryOut(kind) {
  const rows = targets();
  if (!rows.length) {
    said.textContent = "Nothing is selected: mark alerts, or go to one with j and k.";
    return;
  }
  const alerts = rows.map(({ dataset: { id, run, cause, project } }) => ({ id, run, cause, project }));
  hope(rows, kind);
  const result = await act(kind, alerts, given(form));
  const ids = alerts.map((one) => one.id);
  await shown(refresh(ids));
  for (const { id, problem } of result.outcomes) settle(rowOf(id), problem);
  count();
  if (result.outcomes.every((one) => !one.problem)) form.elements.comment.value = "";
  say(said, result, () => shown(refresh(ids)));
}

/** A row after its act: no longer selected, or with the reason why it was refused. */
function settle(row, problem) {
  row.removeAttribute("aria-busy");
  const where = row.querySelector(".said");
  where.hidden = !problem;
  where.textContent = problem ? `Refused: ${problem}.` : "";
  row.querySelector(".pick input").checked = Boolean(problem);
}

/** The rows that are new once a reading is done; what went wrong is said. */
async function shown(reading) {
  try {
    return await reading;
  } catch (error) {
    said.textContent = error.message;
    return [];
  }
}

function announce(rows) {
  if (!rows.length) return;
  const [first] = rows;
  const more = rows.length > 1 ? ` and ${rows.length - 1} more` : "";
  said.textContent = `New: ${first.dataset.severity}: ${first.querySelector(".title").textContent}, run ${first.querySelector(".run").textContent}${more}.`;
}

list.addEventListener("change", count);
all.addEventListener("change", () => mark(boxes(), all.checked));
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("click", (event) => {
  const kind = event.target.closest("[data-act]")?.dataset.act;
  if (kind) doIt(kind);
});
document.getElementById("filters").addEventListener("formdata", ({ formData }) => {
  for (const [name, value] of [...formData]) if (!value) formData.delete(name);
});
if (NARROW.matches) document.querySelector(".filters").open = false;
keyboard({
  act: doIt,
  toggle: (row) => mark([...row.querySelectorAll(".pick input:not(:disabled)")], !row.querySelector(".pick input").checked),
  none: () => mark(boxes(), false),
});
recall(form);
count();
const asked = new URLSearchParams(location.search);
listen({
  project: asked.get("project") || undefined,
  run: asked.get("run") || undefined,
  alerts: async (found) => announce(await shown(refresh(found.map((alert) => alert.id)))),
  reset: async () => announce(await shown(refreshAll())),
});
