// What is known of a run besides its numbers: alerts, the guard, what the job said.
import { get } from "./api.js";

const GRAVITY = ["info", "warning", "error", "critical"];

/** Alerts that people were told of, those still open and the gravest first. */
export function ranked(alerts) {
  const rank = (one) => (one.state === "resolved" ? 0 : 10) + GRAVITY.indexOf(one.severity);
  return alerts.filter((one) => one.state !== "pending").sort((a, b) => rank(b) - rank(a));
}

/** All of it at once. */
export async function readFacts(run) {
  const [alerts, guard, events] = await Promise.all([
    get("/alerts", { run }),
    get(`/runs/${run}/guard`),
    get(`/runs/${run}/events`, { limit: 500 }),
  ]);
  return { alerts: ranked(alerts.items), guard, events: events.items };
}

/** The layer of the alert that was first to name one. */
export function firstNamed(alerts) {
  return alerts.toSorted((a, b) => a.opened_step - b.opened_step).find((one) => one.layers.length)?.layers[0];
}
