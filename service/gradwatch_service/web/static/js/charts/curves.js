// "When did it go wrong?": loss, gradient norm and what steers them, under what is known of the run.
import { plain, shown, step } from "../numbers.js";
import { colours } from "../plot.js";
import { forecast, LIMIT } from "./forecast.js";
import { headroom, labels, launches, shading, signs, spansOf } from "./marks.js";
import { interventions, isEmpty, load, stride } from "./reading.js";
import { atShare, drawn, scale, ticks } from "./scale.js";
import { told } from "./sentences.js";
import { margins, pixels, stepAxis } from "./steps.js";

const ROWS = [
  { metric: "loss", title: "Loss", height: 190, curve: "curve-1" },
  { metric: "grad_norm", title: "Gradient norm", height: 190, curve: "curve-1" },
  { metric: "lr", title: "Learning rate", height: 80, curve: "curve-3" },
  { metric: "loss_scale", title: "Loss scale", height: 80, curve: "curve-4" },
];
const GAP = 16;
const EVENTS = 22;

function limitsOf({ mine, guard }) {
  const limits = [
    [plain(guard?.max_norm), "guard clips at"],
    [plain(guard?.skip_above), "guard skips above"],
  ];
  return limits.filter(([value]) => value !== null && mine.grad_norm.steps.length);
}

function line(name, { steps, values }, color, { yaxis, axis, ...more }) {
  return {
    type: "scatter", mode: steps.length === 1 ? "markers" : "lines", name, yaxis, x: steps, y: drawn(values, axis),
    line: { color, width: 1.5, ...more }, marker: { color }, connectgaps: false,
    customdata: Array.from(values, shown), hovertemplate: `${name} %{customdata}<extra></extra>`,
  };
}

/** Along an edge: one sign for each of these steps. */
function along(name, steps, share, yaxis, axis, marker, text) {
  return {
    type: "scatter", mode: "markers", name, yaxis, x: steps, y: Array.from(steps, () => atShare(axis, share)),
    marker: { size: 8, ...marker }, text, hovertemplate: `%{text} at step %{x}<extra></extra>`,
  };
}

function oddities({ steps, values }, yaxis, axis, ink) {
  const odd = Array.from(values.keys()).filter((i) => !Number.isFinite(values[i]));
  if (!odd.length) return [];
  const text = odd.map((i) => shown(values[i]));
  const marker = { symbol: "x", color: ink.critical };
  return [along("not finite", odd.map((i) => steps[i]), 0.97, yaxis, axis, marker, text)];
}

function handled(mine, yaxis, axis, ink) {
  const { clipped, skipped } = interventions(mine);
  const sign = (name, steps, symbol, color) =>
    along(name, steps, 0.03, yaxis, axis, { symbol, color, size: 7 }, Array.from(steps, () => name));
  return [
    ...(clipped.length ? [sign("clipped", clipped, "line-ns-open", ink.warning)] : []),
    ...(skipped.length ? [sign("update skipped", skipped, "triangle-down", ink.error)] : []),
  ];
}

/** The rows that have something to show, each with its place, from the top. */
function placed(data) {
  const rows = ROWS.filter(({ metric }) => data.mine[metric].steps.length || data.theirs?.[metric]?.steps.length);
  const height = rows.reduce((sum, row) => sum + row.height + GAP, EVENTS);
  let top = height;
  return {
    height,
    rows: rows.map((row, i) => {
      top -= row.height + GAP;
      const axis = i ? `y${i + 1}` : "y";
      return { ...row, axis, domain: [(top + GAP) / height, (top + GAP + row.height) / height] };
    }),
  };
}

function ahead(data, view) {
  const { grad_norm: norm } = data.mine;
  return view.isAtEnd ? forecast(norm, data.alerts, stride(norm)) : null;
}

function rowOf(row, data, ink, coming) {
  const { mine, theirs } = data;
  const isNorm = row.metric === "grad_norm";
  const limits = isNorm ? limitsOf(data) : [];
  const values = [mine[row.metric].values, ...(theirs?.[row.metric] ? [theirs[row.metric].values] : [])];
  const hints = [...limits.map(([value]) => value), ...(isNorm && coming ? [coming.value * 1e3] : [])];
  const axis = scale(values, hints);
  const traces = [];
  if (theirs?.[row.metric]) traces.push(line("other run", theirs[row.metric], ink["curve-2"], { yaxis: row.axis, axis }));
  traces.push(line(row.title, mine[row.metric], ink[row.curve], { yaxis: row.axis, axis }));
  if (isNorm && mine.clip_norm.steps.length) traces.push(line("clip norm", mine.clip_norm, ink.warning, { yaxis: row.axis, axis, dash: "dot" }));
  traces.push(...oddities(mine[row.metric], row.axis, axis, ink));
  if (isNorm) traces.push(...handled(mine, row.axis, axis, ink));
  if (isNorm && coming) traces.push(course(coming, row.axis, ink));
  return { traces, axis, limits };
}

function course({ from, at, value }, yaxis, ink) {
  return {
    type: "scatter", mode: "lines", name: "forecast", yaxis, x: [from, at], y: [value, LIMIT],
    line: { color: ink.critical, width: 1.5, dash: "dash" }, hovertemplate: `overflows near step ${step(at)}<extra></extra>`,
  };
}

function limitMarks(limits, row, ink, room) {
  return limits.map(([value, name], i) => ({
    shape: {
      type: "line", xref: "paper", x0: 0, x1: 1, yref: row.axis, y0: value, y1: value,
      line: { color: ink.ok, width: 1, dash: "dash" },
    },
    label: {
      text: `${name} ${shown(value)}`, xref: "paper", x: 0.005 + 0.25 * i, xanchor: "left", yref: row.axis,
      y: room.type === "log" ? Math.log10(value) : value, yanchor: "bottom", showarrow: false, font: { size: 11, color: ink.ok },
    },
  }));
}

function yaxisOf(row, axis) {
  return {
    ...axis, ...ticks(axis, row.height > 100 ? 5 : 2), domain: row.domain, fixedrange: true,
    title: { text: row.height > 100 ? row.title : "", font: { size: 11 }, standoff: 4 },
  };
}

function figure(data, panel) {
  const { view, attempts } = panel.context;
  const ink = colours();
  const edges = margins(panel);
  const { rows, height } = placed(data);
  const coming = ahead(data, view);
  const shownSteps = withAhead(view, coming);
  const spans = spansOf(data.alerts, shownSteps, view.last);
  const later = launches(attempts, ink, shownSteps);
  const lane = `y${rows.length + 1}`;
  const layout = {
    height: height + headroom(spans) + edges.b, margin: { ...edges, t: headroom(spans) },
    hovermode: "x unified", shapes: [...shading(spans, ink, shownSteps), ...later.shapes, ...chosen(view, ink)],
    annotations: [...labels(spans, ink, shownSteps, pixels(panel)), ...later.annotations, ...names(rows, ink)],
    xaxis: { ...stepAxis(panel, shownSteps), anchor: lane },
    [`yaxis${rows.length + 1}`]: { domain: [0, EVENTS / height], range: [-1, 1], fixedrange: true, showticklabels: false, showgrid: false },
  };
  const traces = [signs(data.events, ink, lane)];
  rows.forEach((row, i) => {
    const made = rowOf(row, data, ink, coming);
    traces.push(...made.traces);
    layout[`yaxis${i ? i + 1 : ""}`] = yaxisOf(row, made.axis);
    for (const { shape, label } of limitMarks(made.limits, row, ink, made.axis)) {
      layout.shapes.push(shape);
      layout.annotations.push(label);
    }
  });
  return { traces, layout };
}

/** The step that the profiles are of, if somebody chose it. */
function chosen({ state: { step: at } }, ink) {
  if (at === undefined) return [];
  return [{ type: "line", yref: "paper", x0: at, x1: at, y0: 0, y1: 1, line: { color: ink.text, width: 1, dash: "dot" } }];
}

/** Small rows have their names inside. */
function names(rows, ink) {
  return rows.filter((row) => row.height <= 100).map((row) => ({
    text: row.title, xref: "paper", x: 0.005, yref: "paper", y: row.domain[1], xanchor: "left", yanchor: "top",
    showarrow: false, font: { size: 11, color: ink.muted },
  }));
}

/** The steps shown; a forecast gets a tenth more. */
function withAhead(view, coming) {
  const [from, to] = view.window;
  if (!coming) return [from, to];
  return [from, Math.min(Math.max(coming.at, to), to + (to - from) * 0.1)];
}

function say(data, panel) {
  const { grad_norm: norm, loss } = data.mine;
  const coming = ahead(data, panel.context.view);
  const soon = coming
    ? `At this rate (${coming.source}) it overflows, beyond ${shown(LIMIT)}, about step ${step(coming.at)}.`
    : "";
  const texts = [told("The gradient norm", norm.steps, norm.values), soon, told("The loss", loss.steps, loss.values)];
  return texts.filter(Boolean).join(" ");
}

export const curves = {
  id: "curves", alongSteps: true, load, isEmpty, figure, say,
  click: (points, panel) => panel.context.view.set({ step: points[0].x }),
  after: ({ theirs }, panel) => { panel.root.querySelector(".legend").hidden = !theirs; },
  missing: "No loss and no gradient norm were reported in these steps.",
};
