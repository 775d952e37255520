// What the curves are drawn from: the run's series, the other run's, and what is known of the run.
import { asOf, series } from "../numbers.js";
import { pixels, windowOf } from "./steps.js";

const READ = ["loss", "grad_norm", "clip_norm", "lr", "loss_scale", "found_inf", "skipped"];
const COMPARED = ["loss", "grad_norm"];

/** All of it at once, as finely as it can be seen. */
export async function load(panel, signal) {
  const { run, view, facts } = panel.context;
  const query = { ...windowOf(view), points: pixels(panel) };
  const other = view.state.with;
  const wanted = [...READ.map((metric) => [run, metric]), ...(other ? COMPARED.map((m) => [other, m]) : [])];
  const [known, ...found] = await Promise.all([
    facts.current,
    ...wanted.map(([id, metric]) => series(id, { ...query, metric }, signal)),
  ]);
  const mine = Object.fromEntries(READ.map((metric, i) => [metric, found[i]]));
  const theirs = other && Object.fromEntries(COMPARED.map((metric, i) => [metric, found[READ.length + i]]));
  return { ...known, mine, theirs };
}

/** Whether there is nothing to draw. */
export function isEmpty({ mine }) {
  return READ.every((metric) => !mine[metric].steps.length);
}

/** Steps between two reports, of what was reported in all. */
export function stride({ steps, total_points: total }) {
  return total > 1 ? Math.max((steps.at(-1) - steps[0]) / (total - 1), 1) : 1;
}

/** Steps at which the job did not do what it would have: clipped, or skipped altogether. */
export function interventions(mine) {
  const limits = asOf(mine.clip_norm, mine.grad_norm.steps);
  const clipped = mine.grad_norm.steps.filter((_, i) => mine.grad_norm.values[i] > limits[i]);
  const skipped = ["skipped", "found_inf"].flatMap((metric) =>
    Array.from(mine[metric].steps.filter((_, i) => mine[metric].values[i] > 0)));
  return { clipped, skipped: [...new Set(skipped)].sort((a, b) => a - b) };
}
