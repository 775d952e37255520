// Numbers of the public API, packed on their way, as typed arrays; and how charts write them.
import { read } from "./api.js";
import { decode } from "./msgpack.js";

const PACKED = { accept: "application/msgpack" };

async function packed(path, query, signal) {
  const answer = await read(path, query, signal, PACKED);
  return decode(await answer.arrayBuffer());
}

function integers(buffer) {
  return Float64Array.from(new BigInt64Array(buffer), Number);
}

/** One metric against the step: `steps`, `values` (Float64Array, NaN and ±Infinity as reported). */
export async function series(run, query, signal) {
  const found = await packed(`/runs/${run}/series`, query, signal);
  return { ...found, steps: integers(found.steps), values: new Float64Array(found.values) };
}

/** Layers × steps: `low`, `high` (Float32Array, NaN: none), `kinds` (Uint8Array), by rows. */
export async function heatmap(run, query, signal) {
  const found = await packed(`/runs/${run}/heatmap`, query, signal);
  const [rows, cols] = integers(found.shape);
  return {
    ...found,
    rows,
    cols,
    steps: integers(found.steps),
    low: new Float32Array(found.low),
    high: new Float32Array(found.high),
    kinds: new Uint8Array(found.kinds),
  };
}

/** A value of JSON, where what is not finite is a word. */
export function plain(value) {
  return value === null || value === undefined ? null : Number(value);
}

const DIGITS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/** An exponent, set small without markup: that draws faster. */
export function raised(exponent) {
  const digits = Array.from(String(Math.abs(exponent)), (digit) => DIGITS[digit]).join("");
  return (exponent < 0 ? "⁻" : "") + digits;
}

/** Three significant digits; very large and small ones as powers of ten. */
export function shown(value) {
  if (value === null || value === undefined) return "–";
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const exponent = Math.floor(Math.log10(Math.abs(value)));
  if (exponent >= 3 && exponent < 5) return tidy(step(value));
  if (exponent >= -3 && exponent < 5) return tidy(Number(value.toPrecision(3)).toString());
  const mantissa = Number((value / 10 ** exponent).toPrecision(2));
  return `${tidy(String(mantissa))}·10${raised(exponent)}`;
}

function tidy(text) {
  return text.replace("-", "−");
}

const STEP = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** A step with its thousands apart. */
export function step(value) {
  return STEP.format(value);
}

/** At each of these steps the value that was last known by then; NaN before the first. */
export function asOf({ steps, values }, wanted) {
  let at = -1;
  return Float64Array.from(wanted, (one) => {
    while (steps[at + 1] <= one) at += 1;
    return at < 0 ? NaN : values[at];
  });
}

/** Text as Plotly shows it unchanged: it reads some tags of HTML. */
export function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
