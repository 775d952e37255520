// A threshold's slider, number and words, kept in step with each other.
import { nearest, reading, stopsOf } from "./scales.js";

/** Join the parts of one threshold; `changed` is called when somebody moves it. */
export function slider(row, changed) {
  const { low, high, unit, scale, ...more } = row.dataset;
  const range = row.querySelector("[type=range]");
  const number = row.querySelector("[type=number]");
  const fallback = Number(more.default);
  const words = row.querySelector(".reading");
  const back = row.querySelector('[data-act="default"]');
  let stops = [];

  function show(value) {
    stops = stopsOf({ low: Number(low), high: Number(high), scale, whole: "whole" in more }, [fallback, value]);
    Object.assign(range, { min: 0, max: stops.length - 1, step: 1, value: nearest(stops, value) });
    say(value);
  }

  function say(value) {
    words.textContent = reading(value, unit);
    range.style.setProperty("--at", `${(100 * range.value) / (stops.length - 1)}%`);
    range.setAttribute("aria-valuetext", `${value} ${words.textContent}`);
    row.dataset.set = value === fallback ? "" : "yes";
    back.disabled = value === fallback;
  }

  function set(value) {
    number.value = value;
    show(value);
  }

  range.addEventListener("input", () => {
    const value = stops[range.value];
    number.value = value;
    say(value);
    changed();
  });
  number.addEventListener("input", () => {
    if (number.value === "") return;
    const value = Number(number.value);
    if (value >= Number(low) && value <= Number(high)) show(value);
    else say(value);
    changed();
  });
  back.addEventListener("click", () => {
    set(fallback);
    range.focus();
    changed();
  });
  set(Number(number.value));
  return { name: row.dataset.name, fallback, set, value: () => Number(number.value) };
}
