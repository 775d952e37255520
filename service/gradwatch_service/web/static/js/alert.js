// One alert: acting on it, and its page as it is now.
import { act, given, recall, say } from "./alert-acts.js";
import { listen } from "./live.js";
import { timeless } from "./run-parts.js";

const PARTS = [".standing", ".columns"];
const article = document.getElementById("alert");
const form = document.getElementById("act");
const said = document.getElementById("said");
const refused = document.getElementById("refused");

/** Put in what has changed; what was unfolded stays so. */
async function refresh() {
  const answer = await fetch(location.href);
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of PARTS) {
    const [old, now] = [document.querySelector(part), fresh.querySelector(part)];
    if (timeless(old).isEqualNode(timeless(now))) continue;
    const open = [...old.querySelectorAll("details")].map((one) => one.open);
    now.querySelectorAll("details").forEach((one, place) => { one.open = open[place] ?? one.open; });
    old.replaceWith(now);
  }
}

async function doIt(kind) {
  const { id, run, cause, project } = article.dataset;
  article.setAttribute("aria-busy", "true");
  const result = await act(kind, [{ id, run, cause, project }], given(form));
  const [{ problem }] = result.outcomes;
  refused.hidden = !problem;
  refused.textContent = problem ? `Refused: ${problem}.` : "";
  await refresh().finally(() => article.removeAttribute("aria-busy"));
  if (problem) return;
  form.elements.comment.value = "";
  say(said, result, refresh);
}

form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("click", (event) => {
  const kind = event.target.closest("[data-act]")?.dataset.act;
  if (kind) doIt(kind);
});
recall(form);
listen({
  run: article.dataset.run,
  alerts: (found) => found.some((alert) => alert.id === article.dataset.id) && refresh(),
  reset: refresh,
});
