// What a curve shows, said in a sentence: for those who do not see it, and for those who do.
import { shown, step } from "../numbers.js";

function median(values) {
  const sorted = Float64Array.from(values).sort();
  return sorted[sorted.length >> 1];
}

/** Where a curve stood, where it went, and what of it is no number. */
function course(steps, values) {
  const finite = [];
  const odd = [];
  for (let i = 0; i < values.length; i++) (Number.isFinite(values[i]) ? finite : odd).push(i);
  if (!finite.length) return { odd, from: null, to: null };
  const peak = finite.reduce((best, i) => (values[i] > values[best] ? i : best));
  const before = finite.filter((i) => i < peak);
  if (before.length < 8) return { odd, from: finite[0], to: finite.at(-1), level: true };
  const usual = median(before.slice(0, Math.max(8, before.length >> 1)).map((i) => values[i]));
  const calm = before.filter((i) => values[i] <= 1.5 * usual);
  const from = calm.at(-1) ?? before[0];
  const hasGrown = usual > 0 && values[peak] > 5 * usual;
  return hasGrown ? { odd, from, to: peak } : { odd, from: finite[0], to: finite.at(-1), level: true };
}

/** The sentence; `name` begins it. */
export function told(name, steps, values) {
  if (!values.length) return "";
  const { odd, from, to, level } = course(steps, values);
  const verb = level ? "went" : "grew";
  const text = from === null
    ? `${name} has no finite value here`
    : `${name} ${verb} from ${shown(values[from])} at step ${step(steps[from])} to ${shown(values[to])} at step ${step(steps[to])}`;
  return `${text}${oddities(steps, values, odd)}.`;
}

function oddities(steps, values, odd) {
  if (!odd.length) return "";
  const kinds = new Set(odd.map((i) => shown(values[i])));
  return `; ${[...kinds].join(" and ")} from step ${step(steps[odd[0]])} on`;
}
