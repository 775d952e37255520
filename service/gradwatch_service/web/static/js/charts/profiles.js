// "How does the gradient change on its way back?": against depth, and against time, at one step.
import { get } from "../api.js";
import { origin } from "../facts.js";
import { escaped, shown, step } from "../numbers.js";
import { colours } from "../plot.js";
import { scale, ticks } from "./scale.js";

const MARGINS = { l: 58, r: 12, t: 8, b: 40 };
const WAYS = {
  depth: { axis: "layer, from input to output", unit: "layer", way: "from one layer to the one before it" },
  time: { axis: "time step of the sequence", unit: "time step", way: "from one time step to the one before it" },
};

/** The step somebody chose; else that at which the alert opened that tells where it began; else the newest. */
function stepOf(view, alerts) {
  return view.state.step ?? origin(alerts)?.opened_step ?? view.last;
}

async function load(panel, signal, axis) {
  const { run, view, facts } = panel.context;
  const { alerts } = await facts.current;
  return get(`/runs/${run}/profile`, { axis, step: stepOf(view, alerts) }, signal);
}

/** The fitted line at the ends of the points, log2. */
export function fit(points, slope) {
  const there = points.filter((point) => point.log2 !== null);
  if (slope === null || there.length < 2) return null;
  const mean = (of) => there.reduce((sum, point) => sum + of(point), 0) / there.length;
  const [at, level] = [mean((point) => point.at), mean((point) => point.log2)];
  return [there[0].at, there.at(-1).at].map((x) => ({ at: x, log2: level - slope * (x - at) }));
}

function figure({ points, slope_bits: slope, axis }, panel) {
  const ink = colours();
  const height = (point) => (point.log2 === null ? null : 2 ** point.log2);
  const values = points.map(height);
  const room = scale([values.filter((value) => value !== null)]);
  const line = fit(points, slope);
  const traces = [{
    type: "scatter", mode: "markers", name: "signal", x: points.map((point) => point.at), y: values,
    marker: { color: ink["curve-1"], size: points.length > 100 ? 4 : 7 },
    text: points.map((point) => point.layer ? escaped(point.layer) : `time step ${point.at}`), customdata: values.map(shown),
    hovertemplate: "%{text}: %{customdata}<extra></extra>",
  }];
  if (line) {
    traces.push({
      type: "scatter", mode: "lines", name: "fit", x: line.map((point) => point.at), y: line.map(height),
      line: { color: ink["curve-2"], width: 2, dash: "dash" }, hoverinfo: "skip",
    });
  }
  const layout = {
    height: 250, margin: MARGINS, hovermode: "closest", dragmode: false,
    xaxis: { title: { text: WAYS[axis].axis, standoff: 4 }, fixedrange: true, nticks: 8 },
    yaxis: { ...room, ...ticks(room, 4), fixedrange: true },
  };
  return { traces, layout };
}

/** The growth factor in words. */
export function growth(slope, axis) {
  if (slope === null) return "Too few points for a fit.";
  const factor = 2 ** slope;
  const { unit, way } = WAYS[axis];
  if (Math.abs(slope) < 0.02) return `The gradient stays about the same ${way} (×${factor.toFixed(2)} per ${unit}).`;
  const verb = slope > 0 ? "grows" : "shrinks";
  return `On its way back the gradient ${verb} by ×${factor.toPrecision(3)} per ${unit}.`;
}

function say({ slope_bits: slope, growth_factor: whole, axis, step: at }) {
  const all = whole === null ? "" : ` From end to end: ×${shown(Number(whole))}.`;
  return `At step ${step(at)}: ${growth(slope, axis)}${all}`;
}

function profile(axis, missing) {
  return {
    id: axis, alongSteps: false, figure, say, missing,
    load: (panel, signal) => load(panel, signal, axis),
    isEmpty: ({ points }) => points.every((point) => point.log2 === null),
    after: ({ step: at }, panel) => panel.context.showStep(at),
  };
}

export const depth = profile("depth", "Too few layers had a finite gradient at this step. Choose an earlier one.");
export const time = profile("time", "No profile through time was reported near this step; recurrent networks report one.");
