// When a gradient norm that grows exponentially will overflow.

// Sums of squares are made in float32 at least: a norm ends at 2^64, as the rules have it.
export const LIMIT = 2 ** 64;
const WINDOW = 32;

/** Of the alert's own evidence: reports until overflow, hence a step. */
function fromEvidence(alerts, stride) {
  for (const alert of alerts) {
    if (alert.state === "resolved") continue;
    const left = alert.evidence.find((one) => one.name === "steps-to-overflow");
    const reports = Number(left?.value);
    if (left && Number.isFinite(reports) && reports > 0) {
      return { from: left.step, at: Math.round(left.step + reports * stride), source: "the alert" };
    }
  }
  return null;
}

/** Of the last points: least squares of log2, if it is straight and rises by two bits at least. */
function fitted(steps, values) {
  if (values.length < WINDOW || !Number.isFinite(values.at(-1))) return null;
  const x = steps.slice(-WINDOW);
  const y = values.slice(-WINDOW).map(Math.log2);
  if (!y.every(Number.isFinite)) return null;
  const { slope, straight } = line(x, y);
  const rise = slope * (x.at(-1) - x[0]);
  if (!(rise >= 2 && straight > 0.8)) return null;
  const at = Math.round(x.at(-1) + (Math.log2(LIMIT) - y.at(-1)) / slope);
  return { from: x.at(-1), at, source: `the last ${WINDOW} points` };
}

function line(x, y) {
  const mean = (list) => list.reduce((sum, one) => sum + one, 0) / list.length;
  const [mx, my] = [mean(x), mean(y)];
  const sum = (of) => x.reduce((total, one, i) => total + of(one - mx, y[i] - my), 0);
  const [xx, xy, yy] = [sum((a) => a * a), sum((a, b) => a * b), sum((_, b) => b * b)];
  return { slope: xy / xx, straight: (xy * xy) / (xx * yy) };
}

/** Where the norm will overflow: null if it does not grow, or has overflowed. */
export function forecast(norm, alerts, stride) {
  const last = norm.values.at(-1);
  if (last === undefined || !Number.isFinite(last) || last <= 0) return null;
  const found = fromEvidence(alerts, stride) ?? fitted(norm.steps, norm.values);
  const ahead = found && found.at > norm.steps.at(-1);
  return ahead ? { ...found, from: norm.steps.at(-1), value: last } : null;
}
