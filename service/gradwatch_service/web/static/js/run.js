// The page of a run: people act, and what changes meanwhile is put in its place.
import { copyFrom } from "./copying.js";
import { listen } from "./live.js";
import { act, hand } from "./run-acts.js";
import { wireDialogs } from "./run-dialogs.js";
import { exchange } from "./run-parts.js";

const page = document.getElementById("run");
const said = document.getElementById("said");
const refused = document.getElementById("refused");
const { run, project } = page.dataset;
let verdict = document.getElementById("verdict").textContent;
let underWay = null;
let again = false;

function say(words) {
  refused.hidden = true;
  said.textContent = words;
}

function refuse(error) {
  said.textContent = "";
  refused.textContent = error.problem ? `Refused: ${error.message}` : "The service does not answer; try again.";
  refused.hidden = false;
}

/** Bring the page up to date; what is asked for meanwhile is one more turn. */
async function refresh() {
  if (underWay) {
    again = true;
    return underWay;
  }
  underWay = (async () => {
    do {
      again = false;
      await exchange(run);
    } while (again);
  })().finally(() => { underWay = null; });
  return underWay;
}

async function follow() {
  if (page.hasAttribute("data-leaving")) return;
  try {
    await refresh();
  } catch {
    return; // the sign of the connection says it; the next change tries again
  }
  const now = document.getElementById("verdict").textContent;
  if (now === verdict) return;
  verdict = now;
  say(`Now: ${now}`);
}

async function perform(button, work) {
  button.disabled = true;
  try {
    const words = await work();
    await refresh();
    verdict = document.getElementById("verdict").textContent;
    say(words);
  } catch (error) {
    refuse(error);
  } finally {
    button.disabled = false;
  }
}

page.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.copy) copyFrom(button, say);
  else if (button.dataset.hand) perform(button, () => hand(run, button.dataset.hand));
  else if (button.dataset.act) {
    const form = button.closest("form");
    const kind = button.dataset.act;
    perform(button, async () => {
      const told = await act(kind, { id: form.dataset.alert, cause: form.dataset.cause, run, project }, form);
      form.reset();
      return told;
    });
  }
});
page.addEventListener("submit", (event) => {
  if (event.target.classList.contains("acts")) event.preventDefault();
});

/** Who follows a link to an alert finds it unfolded. */
function unfold() {
  const one = document.getElementById(location.hash.slice(1));
  if (one?.matches("details")) one.open = true;
}

unfold();
addEventListener("hashchange", unfold);
wireDialogs(run, { say, refuse, refresh });
const stop = listen({
  run,
  runs: (found) => { if (found.some((one) => one.id === run)) follow(); },
  alerts: (found) => { if (found.some((one) => one.run_id === run)) follow(); },
  reset: follow,
});
addEventListener("pagehide", stop);
