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

/** Where the points lie: finite ones in pieces, and the places of what is not finite. */
function placed(steps, values) {
  const finite = values.filter((value) => value !== null);
  const low = Math.min(...finite);
  const range = Math.max(...finite) - low || 1;
  const first = steps[0];
  const width = steps.at(-1) - first || 1;
  const x = (step) => ((step - first) / width) * WIDTH;
  const y = (value) => HEIGHT - EDGE - ((value - low) / range) * (HEIGHT - 2 * EDGE);
  const pieces = [[]];
  const broken = [];
  steps.forEach((step, at) => {
    if (values[at] === null) {
      broken.push(x(step));
      if (pieces.at(-1).length) pieces.push([]);
    } else {
      pieces.at(-1).push(`${x(step).toFixed(1)} ${y(values[at]).toFixed(1)}`);
    }
  });
  return { pieces: pieces.filter((piece) => piece.length), broken };
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
  for (const x of broken) {
    picture.append(make("path", { class: "broken", d: `M${x.toFixed(1)} 0V${HEIGHT}` }));
  }
  return picture;
}
