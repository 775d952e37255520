// The numbers a slider stops at: round ones, equal sums apart or equal factors.

const DIGITS = 2;

/** All stops from `low` to `high`, with the values in `also` among them. */
export function stopsOf({ low, high, scale, whole }, also = []) {
  const found = new Set([low, high, ...also]);
  for (const one of scale === "log" ? factors(low, high) : sums(low, high, whole)) {
    if (one > low && one < high && (!whole || Number.isInteger(one))) found.add(one);
  }
  return [...found].sort((a, b) => a - b);
}

/** Every number of two digits: 1, 1.1, … 9.9, 10, 11, …. */
function* factors(low, high) {
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    for (let digits = 10 ** (DIGITS - 1); digits < 10 ** DIGITS; digits++) {
      yield Number(`${digits}e${power - DIGITS + 1}`);
    }
  }
}

/** Steps of 1, 2 or 5 times a power of ten, about 200 of them. */
function* sums(low, high, whole) {
  const rough = (high - low) / 200;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max([1, 2, 5, 10].find((one) => one * power >= rough) * power, whole ? 1 : 0);
  for (let count = Math.ceil(low / step); count * step <= high; count++) yield Number((count * step).toPrecision(12));
}

/** The stop that is nearest to a value. */
export function nearest(stops, value) {
  let best = 0;
  stops.forEach((one, index) => {
    if (Math.abs(one - value) < Math.abs(stops[best] - value)) best = index;
  });
  return best;
}

const SHORT = new Intl.NumberFormat("en", { maximumSignificantDigits: 2 });

/** What a number means beside itself: bits as a factor, shares as percent. */
export function reading(value, unit) {
  if (unit === "bits") return `bits = ×${SHORT.format(2 ** value)}`;
  if (unit === "share") return `= ${SHORT.format(100 * value)} %`;
  return unit;
}
