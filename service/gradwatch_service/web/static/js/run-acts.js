// What people do about the alerts and the advice of a run, in the words of its page.
import { perform } from "./alert-acts.js";
import { send } from "./api.js";

const SPANS = { "1h": "for an hour", "1d": "for a day", "366d": "for a year, even if it comes back" };
const SAID = {
  acknowledge: () => "Acknowledged: nobody is told of it again, unless it gets worse.",
  resolve: () => "Resolved: it fires again if the trouble shows at a later step.",
  silence: (duration) => `Silenced ${SPANS[duration]}: no messages; it still shows here.`,
};

/** Acknowledge, resolve or silence an alert as the form says; resolves with what to say. */
export async function act(kind, alert, form) {
  const fields = new FormData(form);
  const by = localStorage.getItem("gradwatch-by"); // as it was given on another page
  const [duration, comment] = [fields.get("duration"), fields.get("comment") ?? ""];
  await perform(kind, alert, { duration, comment, ...(by && { by }) });
  return SAID[kind](duration);
}

/** Ask the job to do it. */
export async function hand(run, advice) {
  await send("POST", `/runs/${run}/advice/${advice}/hand`);
  return "Handed to the job: it answers with one of its next reports.";
}
