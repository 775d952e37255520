// What is known of a run besides its numbers: alerts, the guard, what the job said.
import { get } from "./api.js";

const GRAVITY = ["info", "warning", "error", "critical"];

/** Alerts that people were told of: those still open, then the gravest, then the oldest first. */
function ranked(alerts) {
  const rank = (one) => (one.state === "resolved" ? 0 : 10) + GRAVITY.indexOf(one.severity);
  const told = alerts.filter((one) => one.state !== "pending");
  return told.sort((a, b) => rank(b) - rank(a) || a.opened_step - b.opened_step);
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

/** The alert that tells where it began: of those that name a layer the first, open and grave ones before others. */
export function origin(alerts) {
  const naming = alerts.filter((one) => one.layers.length);
  const grave = naming.filter((one) => one.state !== "resolved" && one.severity !== "info");
  return (grave.length ? grave : naming).reduce(
    (first, one) => (first && first.opened_step <= one.opened_step ? first : one), null);
}
