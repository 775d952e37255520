// What people do about an alert or its advice, through the public API.
import { send } from "./api.js";

export const SAID = {
  acknowledge: "Acknowledged: nobody is told of it again, unless it gets worse.",
  resolve: "Resolved: it fires again if the trouble shows at a later step.",
};
const SPANS = { "1h": "for an hour", "1d": "for a day", "366d": "for a year, even if it comes back" };

/** Why, and who says so where nobody signs in: the name that was given on another page. */
function word(fields) {
  const by = localStorage.getItem("gradwatch-by");
  return { comment: fields.get("comment") ?? "", ...(by && { by }) };
}

export const ACTS = {
  acknowledge: async (alert, fields) => {
    await send("POST", `/alerts/${alert.alert}/acknowledge`, word(fields));
  },
  resolve: async (alert, fields) => {
    await send("POST", `/alerts/${alert.alert}/resolve`, word(fields));
  },
  /** There is one alert for each run and cause, so these two name it. */
  silence: async (alert, fields) => {
    const duration = fields.get("duration");
    const matchers = [{ name: "run", value: alert.run }, { name: "cause", value: alert.cause }];
    await send("POST", "/silences", { project: alert.project, matchers, duration, ...word(fields) });
    return `Silenced ${SPANS[duration]}: no messages; it still shows here.`;
  },
};

/** Ask the job to do it. */
export async function hand(run, advice) {
  await send("POST", `/runs/${run}/advice/${advice}/hand`);
  return "Handed to the job: it answers with one of its next reports.";
}
