// One layer's statistic against the step, below the heat map on which it was chosen.
import { shown } from "../numbers.js";
import { colours } from "../plot.js";
import { RATIO, readSeries } from "./layers.js";
import { atShare, drawn, scale, ticks } from "./scale.js";
import { told } from "./sentences.js";
import { margins, pixels, stepAxis, windowOf } from "./steps.js";

async function load(panel, signal) {
  const { run, view, facts } = panel.context;
  const known = await facts.current;
  const layer = panel.context.layer(known);
  if (!layer) return { layer, curve: { steps: [], values: [] } };
  const metric = view.state.metric ?? "grad_norm";
  const query = { metric, layer, ...windowOf(view), points: pixels(panel) };
  return { layer, metric, curve: await readSeries(run, query, signal) };
}

function figure({ layer, curve }, panel) {
  const ink = colours();
  const axis = scale([curve.values]);
  const odd = Array.from(curve.values.keys()).filter((i) => !Number.isFinite(curve.values[i]));
  const traces = [
    {
      type: "scatter", mode: "lines", name: layer, x: curve.steps, line: { color: ink["curve-1"], width: 1.5 },
      y: drawn(curve.values, axis),
      customdata: Array.from(curve.values, shown), hovertemplate: "%{customdata} at step %{x}<extra></extra>",
    },
    {
      type: "scatter", mode: "markers", name: "not finite", x: odd.map((i) => curve.steps[i]), y: odd.map(() => atShare(axis, 0.97)),
      text: odd.map((i) => shown(curve.values[i])), hovertemplate: "%{text} at step %{x}<extra></extra>",
      marker: { symbol: "x", size: 8, color: ink.critical },
    },
  ];
  const layout = {
    height: 170, margin: margins(panel), hovermode: "closest",
    xaxis: stepAxis(panel),
    yaxis: { ...axis, ...ticks(axis, 4), fixedrange: true },
  };
  return { traces, layout };
}

export const layerCurve = {
  id: "layer", alongSteps: true, load, figure,
  isEmpty: ({ curve }) => !curve.steps.length,
  say: ({ layer, curve }) => told(layer, curve.steps, curve.values),
  source: ({ layer, metric }) => `series?${new URLSearchParams({ metric: metric === RATIO ? "update_norm" : metric, layer })}`,
  missing: "Nothing was reported of this layer in these steps.",
};
