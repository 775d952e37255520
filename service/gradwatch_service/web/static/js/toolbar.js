// The controls of the charts: steps shown, statistic, layer, the step of the profiles, comparison.
import { get } from "./api.js";
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
    control(name).addEventListener("change", ({ target }) => view.set({ [name]: target.value || undefined }));
  }
  control("step").addEventListener("input", ({ target }) => view.set({ step: Number(target.value) }));
  control("with").addEventListener("focus", () => offerRuns(view), { once: true });
  if (view.state.with) offerRuns(view);
  view.addEventListener("change", () => show(view));
  show(view);
}

/** Fill the list of runs to compare with: the newest of the project. */
async function offerRuns(view) {
  const { run, project } = document.getElementById("charts").dataset;
  const { items } = await get("/runs", { project, limit: 200 });
  const others = items.filter(({ id }) => id !== run);
  const known = others.some(({ id }) => id === view.state.with) || !view.state.with;
  const listed = known ? others : [{ id: view.state.with, name: view.state.with }, ...others];
  const options = listed.map(({ id, name }) => new Option(`${name} · ${id.slice(-6)}`, id));
  control("with").replaceChildren(new Option("no other run", ""), ...options);
  show(view);
}

function show(view) {
  const [from, to] = view.window;
  control("shown").textContent = view.isWhole ? `all ${step(view.last)} steps` : `steps ${step(from)} to ${step(to)}`;
  control("metric").value = view.state.metric ?? "grad_norm";
  control("layer").value = view.state.layer ?? "";
  control("with").value = view.state.with ?? "";
  control("other").textContent = control("with").selectedOptions[0]?.textContent ?? "";
  for (const button of document.querySelectorAll('#charts [data-move="all"], #charts [data-move="out"]')) {
    button.disabled = view.isWhole;
  }
  control("step").max = view.last;
}

/** Let a button lead to where it began: some calm before it, all of it after. */
export function offerTrouble(view, alert) {
  const button = control("trouble");
  button.hidden = !alert;
  if (!alert) return;
  const after = Math.max(view.last - alert.opened_step, 32);
  button.onclick = () => view.zoom(alert.opened_step - after, view.last);
}

/** Fill the list of layers to choose from. */
export function offerLayers(view, names) {
  const first = new Option("the first mover", "");
  const { layer } = view.state;
  const all = !layer || names.includes(layer) ? names : [layer, ...names];
  control("layer").replaceChildren(first, ...all.map((name) => new Option(name, name)));
  control("layer").value = view.state.layer ?? "";
}

/** The step that the profiles are of. */
export function showStep(at) {
  control("step").value = at;
  control("step-shown").textContent = step(at);
}
