// One layer's statistic against the step, below the heat map on which it was chosen.
import { shown } from "../numbers.js";
import { colours } from "../plot.js";
import { RATIO, readSeries } from "./layers.js";
import { scale, ticks } from "./scale.js";
import { told } from "./sentences.js";

const MARGINS = { l: 58, r: 12, t: 8, b: 34 };

async function load(panel, signal) {
  const { run, view, facts } = panel.context;
  const [from, to] = view.window;
  const known = await facts.current;
  const layer = panel.context.layer(known);
  if (!layer) return { layer, curve: { steps: [], values: [] } };
  const metric = view.state.metric ?? "grad_norm";
  const query = { metric, layer, from, to: view.isWhole ? undefined : to, points: panel.width(70) };
  return { layer, metric, curve: await readSeries(run, query, signal) };
}

function figure({ layer, curve }, panel) {
  const ink = colours();
  const axis = scale([curve.values]);
  const odd = Array.from(curve.values.keys()).filter((i) => !Number.isFinite(curve.values[i]));
  const edge = axis.type === "log" ? 10 ** axis.range[1] : axis.range[1];
  const traces = [
    {
      type: "scatter", mode: "lines", name: layer, x: curve.steps, line: { color: ink["curve-1"], width: 1.5 },
      y: Array.from(curve.values, (value) => (Number.isFinite(value) ? value : null)),
      customdata: Array.from(curve.values, shown), hovertemplate: "%{customdata} at step %{x}<extra></extra>",
    },
    {
      type: "scatter", mode: "markers", name: "not finite", x: odd.map((i) => curve.steps[i]), y: odd.map(() => edge),
      text: odd.map((i) => shown(curve.values[i])), hovertemplate: "%{text} at step %{x}<extra></extra>",
      marker: { symbol: "x", size: 8, color: ink.critical },
    },
  ];
  const layout = {
    height: 170, margin: MARGINS, hovermode: "closest",
    xaxis: { range: panel.context.view.window, tickformat: ",d", nticks: panel.width(70) > 600 ? 10 : 4, title: { text: "step", standoff: 2 } },
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
