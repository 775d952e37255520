// Rules: thresholds that are moved, tried on stored runs while they move, and saved or put back.
import { get, send } from "../api.js";
import { ask, clearProblems, onSubmit, say, showProblem } from "../forms.js";
import { runs, sentence, tally } from "./changes.js";
import { base, renew } from "./place.js";
import { slider } from "./sliders.js";
import { trials } from "./trial.js";

const form = document.getElementById("rules");
const panel = document.getElementById("trial");
const said = document.getElementById("trial-said");
const unsaved = document.getElementById("unsaved");
const toTrial = document.getElementById("to-trial");
const save = document.getElementById("save");
const putBack = document.getElementById("put-back");
const may = Boolean(form.dataset.may);
let saved = await get(`${base}/rules`);
const cards = [...form.querySelectorAll("details.rule")].map(cardOf);

function cardOf(element) {
  const rows = [...element.querySelectorAll(".threshold")].map((row) => slider(row, changed));
  const [enabled, notify] = element.querySelectorAll(".switches input");
  for (const one of [enabled, notify]) one.addEventListener("change", changed);
  const told = [...element.querySelectorAll(".title, .sees, .meaning")].map((one) => one.textContent);
  const words = [element.id, ...told].join(" ").toLowerCase();
  return { element, id: element.dataset.rule, words, rows, enabled, notify };
}

/** What of one rule is not the default. */
function ownOf({ rows, enabled, notify }) {
  const own = Object.fromEntries(rows.filter((one) => one.value() !== one.fallback).map((one) => [one.name, one.value()]));
  if (!enabled.checked) own.enabled = false;
  if (!notify.checked) own.notify = false;
  return own;
}

const settings = () => Object.fromEntries(cards.map((card) => [card.id, ownOf(card)]).filter(([, own]) => Object.keys(own).length));

/** How many settings are not as they are saved. */
function differing() {
  return cards.reduce((sum, card) => {
    const [own, kept] = [ownOf(card), saved.settings[card.id] ?? {}];
    return sum + [...new Set([...Object.keys(own), ...Object.keys(kept)])].filter((name) => own[name] !== kept[name]).length;
  }, 0);
}

const start = trials(({ busy, answer, problem }) => {
  panel.setAttribute("aria-busy", String(Boolean(busy)));
  if (busy) return say(said, `Trying this on the newest ${busy} runs …`);
  clearProblems(form);
  if (problem) {
    say(said, problem.detail, "problem");
    return showProblem(form, problem);
  }
  say(said, sentence(answer));
  const table = document.getElementById("tally");
  table.hidden = !answer.totals.runs;
  table.replaceChildren(tally(answer.totals));
  document.getElementById("differences").replaceChildren(...runs(answer));
  const { present, proposed, changed: differ } = answer.totals;
  toTrial.hidden = false;
  toTrial.textContent = differ ? `Calls ${present.pages} → ${proposed.pages}, ${differ} ${differ === 1 ? "run differs" : "runs differ"}` : "No stored run would differ";
});

function mark() {
  const count = differing();
  unsaved.textContent = count ? `${count} ${count === 1 ? "change is" : "changes are"} not saved.` : "Nothing is changed.";
  save.disabled = !(count && may);
  putBack.disabled = !count;
  for (const card of cards) {
    card.element.querySelector(".is-changed").hidden = !Object.keys(ownOf(card)).length;
    card.element.querySelector(".is-off").hidden = card.enabled.checked;
    card.element.querySelector(".is-quiet").hidden = card.notify.checked;
  }
  return count;
}

function changed() {
  mark();
  start(settings(), Number(document.getElementById("runs").value));
}

function show(held) {
  for (const card of cards) {
    const own = held[card.id] ?? {};
    for (const one of card.rows) one.set(own[one.name] ?? one.fallback);
    card.enabled.checked = own.enabled ?? true;
    card.notify.checked = own.notify ?? true;
  }
}

document.getElementById("runs").addEventListener("change", changed);
putBack.addEventListener("click", () => {
  show(saved.settings);
  clearProblems(form);
  changed();
  unsaved.textContent = "Put back as it was saved.";
});
addEventListener("beforeunload", (event) => differing() && event.preventDefault());

/** Somebody else may have saved since this page was loaded. */
async function isMine() {
  const now = await get(`${base}/rules`);
  if (now.updated_at === saved.updated_at) return true;
  return ask({
    title: "Somebody else has set the rules meanwhile",
    words: `${now.updated_by} saved other settings while you were here. Yours would take the place of theirs.`,
    action: "Save mine all the same",
    danger: true,
  });
}

onSubmit("#rules", async () => {
  if (!may || !(await isMine())) return;
  saved = await send("PUT", `${base}/rules`, { settings: settings() });
  mark();
  await renew("set-by");
  unsaved.textContent = "Saved. It holds for launches from now on; runs that are going keep what they began with.";
});

const find = document.getElementById("find");
find.addEventListener("input", () => {
  const wanted = find.value.trim().toLowerCase();
  for (const { element, words } of cards) element.hidden = !words.includes(wanted);
  const count = cards.filter(({ element }) => !element.hidden).length;
  document.getElementById("found").textContent = wanted ? `${count} of ${cards.length}` : "";
});
find.addEventListener("keydown", (event) => event.key === "Enter" && event.preventDefault());

const all = document.getElementById("open-all");
all.addEventListener("click", () => {
  const open = all.getAttribute("aria-expanded") !== "true";
  for (const { element } of cards) element.open = open;
  all.setAttribute("aria-expanded", String(open));
  all.textContent = open ? "Close all" : "Open all";
});

/** A deep link to a rule opens it. */
function follow() {
  const card = cards.find(({ id }) => `#${id}` === location.hash);
  if (!card) return;
  card.element.open = true;
  card.element.scrollIntoView();
}
addEventListener("hashchange", follow);
follow();
mark();
form.dataset.ready = "yes";
