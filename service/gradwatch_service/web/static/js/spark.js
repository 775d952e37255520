// One small curve as SVG, with a sentence that says what is seen.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 100;
const HEIGHT = 24;
const EDGE = 2;
const NAMES = { loss: "Loss", grad_norm: "Gradient norm" };

function make(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** Four significant digits, as `words.number` writes them. */
function digits(value) {
  return Number(value.toPrecision(4)).toString().replace("-", "−");
}

/** Where the points lie: finite ones in pieces, and the stretches of what is not finite. */
function placed(steps, values) {
  const finite = values.filter((value) => value !== null);
  const low = Math.min(...finite);
  const range = Math.max(...finite) - low || 1;
  const width = steps.at(-1) - steps[0] || 1;
  const x = (step) => ((step - steps[0]) / width) * WIDTH;
  const y = (value) => HEIGHT - EDGE - ((value - low) / range) * (HEIGHT - 2 * EDGE);
  const pieces = [];
  const broken = [];
  steps.forEach((step, at) => {
    const list = values[at] === null ? broken : pieces;
    if (at === 0 || (values[at] === null) !== (values[at - 1] === null)) list.push([]);
    list.at(-1).push(values[at] === null ? x(step) : `${x(step).toFixed(1)} ${y(values[at]).toFixed(1)}`);
  });
  return { pieces, broken };
}

/** What is seen, in words. */
function said(metric, raw) {
  const name = NAMES[metric];
  if (!raw.length) return `${name}: not reported`;
  const finite = raw.filter((value) => typeof value === "number");
  const strange = [...new Set(raw.filter((value) => typeof value === "string"))];
  const ends = raw.map((value) => (typeof value === "number" ? digits(value) : value));
  const parts = [`${name} from ${ends[0]} to ${ends.at(-1)}`];
  if (finite.length) {
    parts.push(`lowest ${digits(Math.min(...finite))}, highest ${digits(Math.max(...finite))}`);
  }
  if (strange.length) parts.push(`with ${strange.join(" and ")}`);
  return parts.join(", ");
}

/** Values to draw: null where there is no number; gradient norms as powers of ten. */
function scaled(metric, raw) {
  return raw.map((value) => {
    if (typeof value !== "number") return null;
    return metric === "grad_norm" ? Math.log10(Math.max(value, 1e-38)) : value;
  });
}

/** The curve of `loss` or `grad_norm`; `curve` as `GET /sparklines` has it. */
export function draw(metric, curve) {
  const { steps, values } = curve;
  if (!steps.length) {
    const none = document.createElement("span");
    none.className = "muted";
    none.textContent = "–";
    return none;
  }
  const picture = make("svg", {
    class: `spark ${metric}`, viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img",
  });
  const title = make("title", {});
  title.textContent = said(metric, values);
  picture.append(title);
  const { pieces, broken } = placed(steps, scaled(metric, values));
  for (const piece of pieces) {
    const more = piece.length > 1 ? piece.slice(1) : piece; // a single point is a dot
    picture.append(make("path", { class: "line", d: `M${piece[0]}L${more.join("L")}` }));
  }
  for (const stretch of broken) {
    const [from, to] = [stretch[0].toFixed(1), stretch.at(-1).toFixed(1)];
    picture.append(make("path", { class: "broken", d: `M${from} 0V${HEIGHT}H${to}V0Z` }));
  }
  return picture;
}
