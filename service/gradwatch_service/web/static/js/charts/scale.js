// The scale of one row: logarithmic where it can be, with all that is drawn on it.
import { raised, shown } from "../numbers.js";

/** `{type, range}` for an axis that shows these numbers; a zero lies at its lower edge. */
export function scale(lists, hints = []) {
  let [low, high, above] = [Infinity, -Infinity, Infinity];
  for (const list of [...lists, hints]) {
    for (const value of list) {
      if (!Number.isFinite(value)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
      if (value > 0 && value < above) above = value;
    }
  }
  if (low > high) return { type: "linear", range: [0, 1] };
  if (low >= 0 && above < Infinity) return { type: "log", range: padded(Math.log10(above), Math.log10(high), 0.15) };
  return { type: "linear", range: padded(low, high, (high - low) / 20 || 1) };
}

function padded(low, high, least) {
  const room = Math.max((high - low) * 0.06, least);
  return [low - room, high + room];
}

/** What is drawn of some numbers: gaps where they are none. */
export function drawn(values, { type, range }) {
  const edge = type === "log" ? 10 ** range[0] : 0;
  return Array.from(values, (value) => (Number.isFinite(value) ? value || edge : null));
}

/** A value at a share of the height, for signs along an edge. */
export function atShare({ type, range }, share) {
  const at = range[0] + share * (range[1] - range[0]);
  return type === "log" ? 10 ** at : at;
}

/** Ticks at whole powers of ten, or at round numbers if there are too few of them. */
export function ticks({ type, range }, most = 5) {
  if (type !== "log") return named(evenly(range, most));
  const [first, last] = [Math.ceil(range[0]), Math.floor(range[1])];
  if (last - first < 1) return withinDecade(range, most);
  const every = Math.ceil((last - first + 1) / most);
  const tickvals = [];
  for (let power = first; power <= last; power += every) tickvals.push(10 ** power);
  return { tickmode: "array", tickvals, ticktext: tickvals.map(power) };
}

function withinDecade(range, most) {
  const [low, high] = range.map((power) => 10 ** power);
  const tickvals = [];
  for (let base = Math.floor(range[0]); base <= range[1]; base++) {
    for (const digit of [1, 1.5, 2, 3, 4, 5, 7]) tickvals.push(digit * 10 ** base);
  }
  const kept = tickvals.filter((value) => value >= low && value <= high);
  const every = Math.ceil(kept.length / most);
  return named(kept.filter((_, place) => place % every === 0));
}

function named(tickvals) {
  return { tickmode: "array", tickvals, ticktext: tickvals.map(shown) };
}

/** Round numbers, at most so many. */
function evenly([low, high], most) {
  const least = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(least));
  const width = [1, 2, 5, 10].map((digit) => digit * power).find((one) => one >= least);
  const first = Math.ceil(low / width);
  const count = Math.floor(high / width) - first + 1;
  return Array.from({ length: count }, (_, i) => Number(((first + i) * width).toPrecision(12)));
}

/** A power of ten in few characters. */
export function power(value) {
  const exponent = Math.round(Math.log10(value));
  return Math.abs(exponent) <= 3 ? shown(value) : `10${raised(exponent)}`;
}
