// What people do about alerts, one by one; what is refused says why.
import { send } from "./api.js";

const DONE = { acknowledge: "acknowledged", resolve: "resolved", silence: "silenced" };

/** Who acts and why, as the form says; a name is asked for only where nobody signs in. */
export function given(form) {
  const fields = new FormData(form);
  const by = fields.get("by")?.trim();
  if (by) localStorage.setItem("gradwatch-by", by);
  return { comment: fields.get("comment") ?? "", duration: fields.get("duration"), ...(by && { by }) };
}

/** Fill in the name that was given before. */
export function recall(form) {
  if (form.elements.by) form.elements.by.value = localStorage.getItem("gradwatch-by") ?? "";
}

/** There is one alert for each run and cause, so these two name it. */
async function silence(alert, { duration, comment, by }) {
  const matchers = [{ name: "run", value: alert.run }, { name: "cause", value: alert.cause }];
  const body = { project: alert.project, matchers, duration, comment, ...(by && { by }) };
  const made = await send("POST", "/silences", body);
  return () => send("DELETE", `/silences/${made.id}`);
}

/** Do one thing to one alert: id, run, cause, project. Resolves with the way back, where there is one. */
export async function perform(kind, alert, { duration, ...word }) {
  if (kind === "silence") return silence(alert, { duration, ...word });
  await send("POST", `/alerts/${alert.id}/${kind}`, word);
  return null;
}

/** Do it to all of them; ``alert``: id, run, cause, project. Resolves with what came of each. */
export async function act(kind, alerts, word) {
  const found = await Promise.allSettled(alerts.map((alert) => perform(kind, alert, word)));
  const outcomes = found.map((one, place) => ({
    id: alerts[place].id,
    problem: one.status === "rejected" ? told(one.reason) : null,
    undo: one.value ?? null,
  }));
  return { kind, outcomes, words: summary(kind, outcomes) };
}

function summary(kind, outcomes) {
  const done = outcomes.filter((one) => !one.problem).length;
  const alerts = outcomes.length === 1 ? "1 alert" : `${outcomes.length} alerts`;
  if (done === outcomes.length) return `${alerts} ${DONE[kind]}.`;
  return `${done} of ${alerts} ${DONE[kind]}; ${outcomes.find((one) => one.problem).problem}.`;
}

/** A refusal in words. */
export function told(error) {
  return (error.problem ? error.message : "the service does not answer").replace(/\.$/, "");
}

/** Say what was done, with a way back where there is one; ``after`` runs when it was taken. */
export function say(where, { outcomes, words }, after) {
  where.textContent = words;
  const ways = outcomes.map((one) => one.undo).filter(Boolean);
  if (!ways.length) return;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  button.textContent = "Undo";
  button.addEventListener("click", async () => {
    button.disabled = true;
    const back = await Promise.allSettled(ways.map((way) => way()));
    const failed = back.find((one) => one.status === "rejected");
    where.textContent = failed ? `Not undone: ${told(failed.reason)}.` : "Undone: people are told again.";
    after();
  });
  where.append(" ", button);
}
