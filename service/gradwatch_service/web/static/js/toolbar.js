// The controls of the charts: steps shown, statistic, layer, the step of the profiles, comparison.
import { step } from "./numbers.js";

const MOVES = { in: [0.5, 0], out: [2, 0], earlier: [1, -0.5], later: [1, 0.5] };

function control(name) {
  return document.getElementById(`charts-${name}`);
}

/** Let the controls change the view, and show what it is. */
export function connect(view) {
  for (const button of document.querySelectorAll("#charts [data-move]")) {
    const move = MOVES[button.dataset.move];
    button.addEventListener("click", () => (move ? view.scale(...move) : view.reset()));
  }
  for (const name of ["metric", "layer", "with"]) {
    control(name).addEventListener("change", ({ target }) => view.set({ [name]: target.value.trim() || undefined }));
  }
  control("step").addEventListener("input", ({ target }) => view.set({ step: Number(target.value) }));
  view.addEventListener("change", () => show(view));
  show(view);
}

function show(view) {
  const [from, to] = view.window;
  control("shown").textContent = view.isWhole ? `all ${step(view.last)} steps` : `steps ${step(from)} to ${step(to)}`;
  control("metric").value = view.state.metric ?? "grad_norm";
  control("layer").value = view.state.layer ?? "";
  control("with").value = view.state.with ?? "";
  for (const button of document.querySelectorAll('#charts [data-move="all"], #charts [data-move="out"]')) {
    button.disabled = view.isWhole;
  }
  control("step").max = view.last;
}

/** Fill the list of layers to choose from. */
export function offerLayers(view, names) {
  const first = new Option("the first mover", "");
  control("layer").replaceChildren(first, ...names.map((name) => new Option(name, name)));
  control("layer").value = view.state.layer ?? "";
}

/** The step that the profiles are of. */
export function showStep(at) {
  control("step").value = at;
  control("step-shown").textContent = step(at);
}
