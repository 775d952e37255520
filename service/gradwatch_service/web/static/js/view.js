// What the charts of a run show: steps, statistic, layer, the other run. It lives in the address.

const NUMBERS = ["from", "to", "step"];
const NAMES = ["metric", "layer", "with"];

/** Read the part of an address after "?" into a view's state. */
export function parsed(search) {
  const given = new URLSearchParams(search);
  const state = {};
  for (const name of NUMBERS) {
    if (/^\d{1,15}$/.test(given.get(name) ?? "")) state[name] = Number(given.get(name));
  }
  if (!(state.from < state.to)) {
    delete state.from;
    delete state.to;
  }
  for (const name of NAMES) if (given.get(name)) state[name] = given.get(name);
  return state;
}

/** The same address with another state; what is not ours is kept. */
function written(search, state) {
  const given = new URLSearchParams(search);
  for (const name of [...NUMBERS, ...NAMES]) {
    if (state[name] === undefined) given.delete(name);
    else given.set(name, state[name]);
  }
  const text = given.toString();
  return text ? `?${text}` : "";
}

/** Whole steps within 0 … last, at least two of them. */
export function clamped(from, to, last) {
  const width = Math.max(Math.round(to - from), 2);
  const start = Math.max(Math.min(Math.round(from), last - width), 0);
  return [start, Math.min(start + width, Math.max(last, 2))];
}

/** Fires `change` with the names that changed as `detail`. */
export class View extends EventTarget {
  constructor(last) {
    super();
    this.last = last;
    this.state = parsed(location.search);
    addEventListener("popstate", () => this.#replace(parsed(location.search)));
  }

  get window() {
    const { from, to } = this.state;
    return from === undefined ? [0, Math.max(this.last, 2)] : [from, to];
  }

  get isWhole() {
    return this.state.from === undefined;
  }

  /** Whether what comes in now would be seen. */
  get isAtEnd() {
    return this.isWhole || this.state.to >= this.last;
  }

  set(changes) {
    this.#replace({ ...this.state, ...changes });
    history.replaceState(null, "", location.pathname + written(location.search, this.state) + location.hash);
  }

  zoom(from, to) {
    const [first, last] = clamped(from, to, this.last);
    if (first <= 0 && last >= this.last) this.reset();
    else this.set({ from: first, to: last });
  }

  reset() {
    this.set({ from: undefined, to: undefined });
  }

  /** Zoom by a factor about the middle, or move by a share of the width. */
  scale(factor, shift = 0) {
    const [from, to] = this.window;
    const middle = (from + to) / 2 + shift * (to - from);
    const half = ((to - from) * factor) / 2;
    this.zoom(middle - half, middle + half);
  }

  /** The run has gone on; whoever looks at its end goes with it. Returns whether the view did. */
  follow(last) {
    if (!(last > this.last)) return false;
    const { isAtEnd, isWhole } = this;
    const { from, to } = this.state;
    this.last = last;
    if (isAtEnd && !isWhole) this.set({ from: from + last - to, to: last });
    else this.dispatchEvent(new CustomEvent("change", { detail: [] }));
    return isAtEnd;
  }

  #replace(state) {
    const names = [...NUMBERS, ...NAMES].filter((name) => state[name] !== this.state[name]);
    this.state = state;
    if (names.length) this.dispatchEvent(new CustomEvent("change", { detail: names }));
  }
}
