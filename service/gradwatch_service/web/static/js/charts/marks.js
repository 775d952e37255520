// What lies over the curves: alerts as spans, launches as lines, what the job said as signs.
import { escaped, plain, shown, step } from "../numbers.js";

const WEIGHTS = { info: 1, warning: 2, error: 3, critical: 4 };
const LABELS = 3;
const LANE = 16;
const SIGNS = {
  checkpoint: ["triangle-up", "checkpoint"], lr: ["diamond", "learning rate"], advice: ["star", "action"],
  guard: ["x", "guard"], resume: ["arrow-left", "resumed"], phase: ["square", "phase"],
};
const OTHER = ["circle", "note"];

/** Of these alerts those within the steps, the gravest first; each with its last step. */
export function spansOf(alerts, [from, to], last) {
  return alerts
    .map((alert) => ({
      ...alert,
      start: alert.opened_step,
      end: alert.resolved_step ?? Math.max(last, alert.last_step),
    }))
    .filter(({ start, end }) => start <= to && end >= from)
    .sort((a, b) => WEIGHTS[b.severity] - WEIGHTS[a.severity] || a.start - b.start);
}

/** Shaded spans, each with a line where it began; of what is only information nothing but the line. */
export function shading(spans, ink, [from, to]) {
  return spans.toReversed().flatMap(({ start, end, severity }) => {
    const sides = { type: "rect", yref: "paper", y0: 0, y1: 1, layer: "below" };
    const [x0, x1] = [Math.max(start, from), Math.min(end, to)];
    const area = { ...sides, x0, x1, fillcolor: ink[`${severity}-wash`], line: { width: 0 } };
    const areas = severity === "info" ? [] : [area];
    return start < from ? areas : [...areas, upright(start, ink[severity], severity === "info" ? "dot" : "solid")];
  });
}

function upright(x, color, dash) {
  return { type: "line", yref: "paper", x0: x, x1: x, y0: 0, y1: 1, line: { color, width: 1, dash } };
}

function short(text, characters) {
  return text.length <= characters ? text : `${text.slice(0, characters - 1).trimEnd()}…`;
}

/** A line of words over each span, in lanes above the drawing. */
export function labels(spans, ink, [from, to], width) {
  const room = Math.max(Math.floor(width / 6.2), 20);
  return spans.slice(0, LABELS).map(({ start, severity, title }, lane) => {
    const share = (Math.max(start, from) - from) / (to - from);
    const isRight = share > 0.5;
    const free = Math.floor(room * (isRight ? share : 1 - share)) - severity.length - 4;
    return {
      text: `${isRight ? "" : "▏"}<b>${severity}</b> ${escaped(short(title, free))}${isRight ? " ▕" : ""}`,
      x: Math.max(start, from), xanchor: isRight ? "right" : "left", xref: "x", yref: "paper", y: 1,
      yanchor: "bottom", yshift: 2 + lane * LANE, showarrow: false, font: { size: 12, color: ink[severity] },
    };
  });
}

/** How much room the labels need above the drawing. */
export function headroom(spans) {
  return 8 + LANE * Math.min(spans.length, LABELS);
}

/** Where later launches took over. */
export function launches(attempts, ink, [from, to]) {
  const later = attempts.filter((one) => one.resume_step !== null && one.resume_step >= from && one.resume_step <= to);
  return {
    shapes: later.map((one) => upright(one.resume_step, ink.muted, "dash")),
    annotations: later.map((one) => ({
      text: `resume ${one.number - 1}`, x: one.resume_step, xref: "x", xanchor: "left", yref: "paper", y: 0,
      yanchor: "bottom", showarrow: false, font: { size: 11, color: ink.muted }, bgcolor: ink.surface,
    })),
  };
}

/** In one word or two what an event is about. */
function wordsOf(event) {
  const [, name] = SIGNS[event.kind] ?? OTHER;
  const said = event.text ?? event.name ?? event.path ?? (event.value === undefined ? "" : shown(plain(event.value)));
  const status = event.status ?? event.action;
  return [name, status && `(${status})`, said && `: ${said}`].filter(Boolean).join(" ").replace(" : ", ": ");
}

/** What the job said, as signs in a row of their own. */
export function signs(events, ink, yaxis) {
  const there = events.filter((event) => event.step !== null && event.step !== undefined);
  return {
    type: "scatter", mode: "markers", name: "events", yaxis,
    x: there.map((event) => event.step), y: there.map(() => 0),
    text: there.map((event) => `step ${step(event.step)}<br>${escaped(short(wordsOf(event), 90))}`),
    hovertemplate: "%{text}<extra></extra>",
    marker: {
      symbol: there.map((event) => (SIGNS[event.kind] ?? OTHER)[0]), size: 9,
      color: there.map((event) => (event.status === "failed" ? ink.critical : event.kind === "advice" ? ink.ok : ink.muted)),
      line: { width: 1, color: ink.surface },
    },
  };
}
