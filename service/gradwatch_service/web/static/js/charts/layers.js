// Layers against steps as matrices, and a statistic that is made of two: updates over weights.
import { asOf, heatmap, series } from "../numbers.js";
import { pixels, windowOf } from "./steps.js";

// More cells than this take long to draw and show no more: each has its extremes.
const COLUMNS = 600;

export const RATIO = "update_ratio";

function divided(above, below) {
  return above.map((value, i) => (below[i] > 0 ? value / below[i] : NaN));
}

/** Cell by cell, the largest over the largest and the least over the least; weights hardly move. */
function ratioMap(updates, weights) {
  return {
    ...updates,
    metric: RATIO,
    low: divided(updates.low, weights.low),
    high: divided(updates.high, weights.high),
    kinds: updates.kinds.map((kind, i) => kind | weights.kinds[i]),
  };
}

/** At each measured update, over the weight as it was last known. */
export function ratioSeries(updates, weights) {
  return { ...updates, metric: RATIO, values: divided(updates.values, asOf(weights, updates.steps)) };
}

/** A heat map of any statistic. */
export async function readMap(run, { metric, ...query }, signal) {
  if (metric !== RATIO) return heatmap(run, { ...query, metric }, signal);
  const both = ["update_norm", "weight_norm"].map((part) => heatmap(run, { ...query, metric: part }, signal));
  return ratioMap(...(await Promise.all(both)));
}

/** One layer's series of any statistic. */
export async function readSeries(run, { metric, ...query }, signal) {
  if (metric !== RATIO) return series(run, { ...query, metric }, signal);
  const both = ["update_norm", "weight_norm"].map((part) => series(run, { ...query, metric: part }, signal));
  return ratioSeries(...(await Promise.all(both)));
}

/** What to ask for, so that a cell is a pixel at least. */
export function queryOf(panel, metric) {
  const { view, layers } = panel.context;
  return {
    metric, ...windowOf(view), rows: Math.min(Math.max(layers, 1), 380), cols: Math.min(pixels(panel), COLUMNS),
  };
}
