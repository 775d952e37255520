// "Where in the network?": a statistic over layers, from input to output, and steps.
import { origin } from "../facts.js";
import { escaped, shown, step } from "../numbers.js";
import { colours } from "../plot.js";
import { queryOf, RATIO, readMap } from "./layers.js";
import { power } from "./scale.js";
import { margins, stepAxis } from "./steps.js";

const NAMED = 26;
const OFFERED = 1000;
// Powers of ten that colours tell apart about the median; what lies beyond has the last colour.
const [BELOW, ABOVE] = [4, 8];

async function load(panel, signal) {
  const { run, view, facts } = panel.context;
  const query = queryOf(panel, view.state.metric ?? "grad_norm");
  const [known, map] = await Promise.all([facts.current, readMap(run, query, signal)]);
  return { ...known, map, scaled: logarithms(map), odd: oddCells(map) };
}

function isEmpty({ map, scaled, odd }) {
  return !map.cols || !map.rows || (!odd.count && scaled.peak < 0);
}

/** log10 of each cell by rows, from the least to the greatest; what is zero is as low as the least. */
function logarithms({ high, rows, cols }) {
  const logs = new Float32Array(high.length);
  let [low, top, peak] = [Infinity, -Infinity, -1];
  for (let i = 0; i < high.length; i++) {
    const log = Math.log10(Math.abs(high[i]));
    logs[i] = log;
    if (log > -Infinity && log < low) low = log;
    if (log > top) [top, peak] = [log, i];
  }
  if (low > top) [low, top] = [0, 1];
  for (let i = 0; i < logs.length; i++) if (logs[i] === -Infinity) logs[i] = low;
  const usual = middle(logs, low);
  return { z: byRows(logs, rows, cols), low: Math.max(low, usual - BELOW), top: Math.min(top, usual + ABOVE), peak };
}

/** The median of some thousand of the cells. */
function middle(logs, otherwise) {
  const every = Math.ceil(logs.length / 4096);
  const some = logs.filter((log, i) => i % every === 0 && !Number.isNaN(log)).sort();
  return some.length ? some[some.length >> 1] : otherwise;
}

/** Cells with a NaN or an infinity as 1, all others as gaps; how many, and the first step of them. */
function oddCells({ kinds, rows, cols, steps }) {
  const cells = new Float32Array(kinds.length).fill(NaN);
  let [count, first] = [0, cols];
  for (let i = 0; i < kinds.length; i++) {
    if (!kinds[i]) continue;
    cells[i] = 1;
    count += 1;
    first = Math.min(first, i % cols);
  }
  return { z: byRows(cells, rows, cols), count, from: steps[first] };
}

function byRows(values, rows, cols) {
  return Array.from({ length: rows }, (_, row) => values.subarray(row * cols, (row + 1) * cols));
}

/** Columns of equal width by start and width, which draws fast; others by their edges. */
function columns({ steps, last_step: last }) {
  const width = (last + 1 - steps[0]) / steps.length;
  const isEven = steps.every((at, i) => Math.abs(at - steps[0] - i * width) <= 1);
  if (isEven) return { x0: steps[0] + (width - 1) / 2, dx: width };
  return { x: [...steps, last + 1].map((edge) => edge - 0.5) };
}

/** Row, layer and step of what moved first, if these steps show it. */
function firstMover(alerts, layers, [from, to]) {
  const alert = origin(alerts);
  const row = alert ? layers.findIndex((names) => names.includes(alert.layers[0])) : -1;
  const isShown = row >= 0 && alert.opened_step <= to && alert.last_step >= from;
  return isShown ? { row, layer: alert.layers[0], step: alert.opened_step, x: Math.max(alert.opened_step, from) } : null;
}

/** As much of a name as there is room for: its end, less ".weight", which is where names differ. */
export function tail(name, characters) {
  if (name.length <= characters) return name;
  const told = name.replace(/\.weight$/, "");
  return told.length <= characters ? told : `…${told.slice(1 - characters)}`;
}

function rowName(names) {
  return names.length > 1 ? `${names[0]} … ${names.at(-1)}` : names[0];
}

function cells({ map, scaled: scaleOf }) {
  const names = map.layers.map((row) => escaped(rowName(row)));
  return {
    type: "heatmap", ...columns(map), z: scaleOf.z, zmin: scaleOf.low, zmax: scaleOf.top, zauto: false,
    colorscale: "Viridis", customdata: byRows(map.high, map.rows, map.cols), hoverongaps: false,
    text: names.map((name) => new Array(map.cols).fill(name)),
    hovertemplate: "%{text}<br>step %{x:,.0f}<br>%{customdata:.3~g}<extra></extra>",
    colorbar: bar(scaleOf),
  };
}

function bar({ low, top }) {
  const ink = colours();
  const every = Math.max(Math.ceil((top - low) / 5), 1);
  const tickvals = [];
  for (let at = Math.ceil(low); at <= top; at += every) tickvals.push(at);
  if (!tickvals.length) tickvals.push(low, top);
  return {
    thickness: 10, outlinewidth: 0, ypad: 0, len: 1, x: 1.01, tickvals, tickfont: { size: 11, color: ink.muted },
    ticktext: tickvals.map((at) => (Number.isInteger(at) ? power(10 ** at) : shown(10 ** at))),
  };
}

function notFinite({ map, odd }, ink) {
  if (!odd.count) return [];
  const words = ["", "NaN", "∞", "NaN, ∞", "−∞", "NaN, −∞", "∞, −∞", "NaN, ∞, −∞"];
  const texts = byRows(map.kinds, map.rows, map.cols).map((kinds, row) =>
    kinds.some(Boolean) ? Array.from(kinds, (kind) => kind && `${escaped(rowName(map.layers[row]))}: ${words[kind]}`) : []);
  return [{
    type: "heatmap", ...columns(map), z: odd.z, zmin: 0, zmax: 1, showscale: false, hoverongaps: false,
    colorscale: [[0, ink.critical], [1, ink.critical]],
    text: texts,
    hovertemplate: "%{text}<br>step %{x:,.0f}<extra></extra>",
  }];
}

function rowTicks({ layers, rows }, height, characters) {
  const every = Math.ceil(rows / Math.max(Math.floor(height / 18), 1));
  const tickvals = Array.from({ length: rows }, (_, row) => row).filter((row) => row % every === 0);
  return { tickvals, ticktext: tickvals.map((row) => escaped(tail(layers[row][0], characters))) };
}

function moverMarks(mover, ink, [from, to], rows) {
  if (!mover) return [];
  const isRight = (mover.x - from) / (to - from) > 0.5;
  return [{
    text: `first mover: ${escaped(tail(mover.layer, 28))}`, x: mover.x, y: mover.row, xref: "x", yref: "y",
    ax: isRight ? -36 : 36, ay: mover.row < rows / 2 ? 28 : -28, xanchor: isRight ? "right" : "left",
    showarrow: true, arrowhead: 6, arrowsize: 1, arrowwidth: 1.5, arrowcolor: ink.text, bgcolor: ink.surface,
    bordercolor: ink.line, borderpad: 3, font: { size: 12, color: ink.text },
  }];
}

/** The chosen row: a frame where rows are high enough, else a sign beside it. */
function chosenRow(row, rows, ink) {
  if (row < 0) return {};
  if (rows > NAMED) {
    return { annotations: [{ text: "◂", xref: "paper", x: 1, xanchor: "left", yref: "y", y: row, showarrow: false, font: { color: ink.text } }] };
  }
  return { shapes: [{
    type: "rect", xref: "paper", x0: 0, x1: 1, yref: "y", y0: row - 0.5, y1: row + 0.5,
    line: { color: ink.surface, width: 1 }, fillcolor: "rgba(0,0,0,0)",
  }] };
}

function figure(data, panel) {
  const { map } = data;
  const ink = colours();
  const { view } = panel.context;
  const edges = margins(panel);
  const height = map.rows <= NAMED ? Math.max(map.rows * 18, 120) : 380;
  const mover = firstMover(data.alerts, map.layers, view.window);
  const row = map.layers.findIndex((names) => names.includes(panel.context.layer(data)));
  const chosen = chosenRow(row, map.rows, ink);
  const layout = {
    height: height + edges.t + edges.b, margin: edges, hovermode: "closest",
    xaxis: { ...stepAxis(panel), showgrid: false },
    yaxis: { range: [map.rows - 0.5, -0.5], fixedrange: true, showgrid: false, ...rowTicks(map, height, edges.l > 100 ? 18 : 8) },
    annotations: [...moverMarks(mover, ink, view.window, map.rows), ...(chosen.annotations ?? [])],
    shapes: chosen.shapes ?? [],
  };
  return { traces: [cells(data), ...notFinite(data, ink)], layout };
}

function say({ alerts, map, scaled: { peak }, odd }, panel) {
  const mover = firstMover(alerts, map.layers, panel.context.view.window);
  const place = (i) => `${rowName(map.layers[Math.floor(i / map.cols)])} near step ${step(map.steps[i % map.cols])}`;
  return [
    mover && `${mover.layer} moved first, at step ${step(mover.step)}.`,
    peak >= 0 && `The largest value is ${shown(map.high[peak])}, in ${place(peak)}.`,
    odd.count && `${step(odd.count)} cells hold NaN or infinity, from step ${step(odd.from)} on.`,
  ].filter(Boolean).join(" ");
}

function click(points, panel) {
  const names = panel.data.map.layers[points[0].y];
  if (names) panel.context.view.set({ layer: names[0] });
}

export const heat = {
  id: "heatmap", alongSteps: true, load, isEmpty, figure, say, click,
  source: ({ map }) => `heatmap?metric=${map.metric === RATIO ? "update_norm" : map.metric}`,
  missing: "This statistic was not reported in these steps. Choose another, or zoom out.",
  after: ({ map: { layers } }, panel) => {
    const names = layers.flat();
    panel.context.offer(names.length > OFFERED ? layers.map((row) => row[0]) : names);
  },
};
