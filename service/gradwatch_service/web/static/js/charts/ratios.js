// "Do the weights move at a good pace?": updates over weights, across all layers.
import { escaped, shown, step } from "../numbers.js";
import { colours } from "../plot.js";
import { queryOf, RATIO, readMap } from "./layers.js";
import { scale, ticks } from "./scale.js";
import { margins, stepAxis } from "./steps.js";

const USUAL = [1e-4, 1e-2];

async function load(panel, signal) {
  const query = queryOf(panel, RATIO);
  return { map: await readMap(panel.context.run, query, signal) };
}

function isEmpty({ map }) {
  return !map.cols || !map.high.some((value) => value > 0);
}

/** Of each column over its layers: least, median, greatest, and the row of the greatest. */
function spread({ low, high, rows, cols }) {
  const found = { low: [], middle: [], high: [], row: [] };
  for (let column = 0; column < cols; column++) {
    const there = [];
    for (let row = 0; row < rows; row++) {
      const at = row * cols + column;
      if (Number.isFinite(high[at]) && high[at] > 0) there.push([high[at], low[at], row]);
    }
    there.sort((a, b) => a[0] - b[0]);
    const middle = there[there.length >> 1];
    const [top, , row] = there.at(-1) ?? [null, null, null];
    found.middle.push(middle ? middle[0] : null);
    found.high.push(top);
    found.row.push(row);
    found.low.push(there.length ? Math.min(...there.map((one) => one[1]).filter((one) => one > 0)) : null);
  }
  return found;
}

function figure({ map }, panel) {
  const ink = colours();
  const x = Array.from(map.steps);
  const { low, middle, high, row } = spread(map);
  const axis = scale([low, high].map((list) => list.filter(Number.isFinite)), USUAL);
  const line = (name, y, color, width, more = {}) => ({
    type: "scatter", mode: "lines", name, x, y, line: { color, width }, connectgaps: true,
    customdata: y.map(shown), hovertemplate: `${name} %{customdata}<extra></extra>`, ...more,
  });
  const names = row.map((at) => (at === null ? "" : escaped(map.layers[at][0])));
  const traces = [
    line("lowest layer", low, ink["curve-4"], 1),
    line("highest layer", high, ink["curve-2"], 1, {
      text: names, hovertemplate: "highest %{customdata}: %{text}<extra></extra>",
    }),
    line("median layer", middle, ink["curve-1"], 2),
  ];
  const band = {
    type: "rect", xref: "paper", x0: 0, x1: 1, yref: "y", y0: USUAL[0], y1: USUAL[1], layer: "below",
    fillcolor: ink["ok-wash"], line: { width: 0 },
  };
  const label = {
    text: "usual: 10⁻⁴ to 10⁻²", xref: "paper", x: 0.005, xanchor: "left", yref: "y",
    y: Math.log10(USUAL[1]), yanchor: "bottom", showarrow: false, font: { size: 11, color: ink.ok },
  };
  const layout = {
    height: 260, margin: margins(panel), hovermode: "x unified", shapes: [band], annotations: [label],
    xaxis: stepAxis(panel),
    yaxis: { ...axis, ...ticks(axis), fixedrange: true },
  };
  return { traces, layout };
}

function say({ map }) {
  const { middle, high, row } = spread(map);
  const last = middle.findLastIndex((value) => value !== null);
  const peak = high.reduce((best, value, i) => (value !== null && !(high[best] >= value) ? i : best), 0);
  const pace = middle[last] > USUAL[1] ? "faster than usual" : middle[last] < USUAL[0] ? "slower than usual" : "the usual pace";
  return `At the end the median layer's update is ${shown(middle[last])} times the size of its weights, ${pace}; ` +
    `the highest ratio is ${shown(high[peak])}, of ${map.layers[row[peak]]?.[0]} near step ${step(map.steps[peak])}.`;
}

export const ratios = {
  id: "ratios", alongSteps: true, load, isEmpty, figure, say,
  missing: "Updates and weights were not reported in these steps.",
};
