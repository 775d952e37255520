// Plotly.js, loaded when the first chart is drawn and made to fit: our policy, theme and keyboard.

const COLOURS = ["text", "muted", "line", "grid", "surface", "raised", "ok", "ok-wash", "info", "warning",
  "error", "critical", "info-wash", "warning-wash", "error-wash", "critical-wash", "curve-1",
  "curve-2", "curve-3", "curve-4"];
const CONFIG = {
  displaylogo: false, displayModeBar: false, responsive: true, doubleClick: false, doubleClickDelay: 500,
  showTips: false, showAxisDragHandles: false, showAxisRangeEntryBoxes: false, locale: "en-US",
};
const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif';
// Plotly makes <style> elements of these ids where there are none, which our policy forbids. A sheet
// that it finds it fills by CSSOM, which is allowed. The other is of maps, which we do not draw.
const SHEET = "plotly.js-style-global";
const MAPS = "9f215cf04c5486422605d13261cb87401f4e7763b6296af81e98efbc0130da53";

let loading = null;
let known = null;

/** Plotly itself; asked for by the first, waited for by all. */
export function plotly() {
  loading ??= load();
  return loading;
}

async function load() {
  setStylesByScript();
  document.head.append(Object.assign(document.createElement("meta"), { id: MAPS }));
  const href = new URL("../css/plotly.css", import.meta.url);
  await arrival(Object.assign(document.createElement("link"), { id: SHEET, rel: "stylesheet", href }));
  const script = document.createElement("script");
  script.src = new URL("../plotly.min.js", import.meta.url);
  await arrival(script);
  return globalThis.Plotly;
}

function arrival(element) {
  return new Promise((resolve, reject) => {
    element.addEventListener("load", resolve);
    element.addEventListener("error", () => reject(new Error("Plotly.js did not load")));
    document.head.append(element);
  });
}

/** Style attributes that Plotly sets on its drawing become styles set by script: these may be. */
function setStylesByScript() {
  const { setAttribute } = Element.prototype;
  SVGElement.prototype.setAttribute = function set(name, value) {
    if (name === "style") this.style.cssText = value;
    else setAttribute.call(this, name, value);
  };
}

/** The theme's colours as they are now. */
export function colours() {
  known ??= measured();
  return known;
}

function measured() {
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  const found = COLOURS.map((name) => {
    probe.style.color = `var(--${name})`;
    return [name, getComputedStyle(probe).color];
  });
  probe.remove();
  return Object.fromEntries(found);
}

/** Call `handler` whenever the theme is another. */
export function onTheme(handler) {
  const again = () => {
    known = null;
    handler();
  };
  document.addEventListener("theme", again);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
}

function axis(ink, given) {
  return {
    gridcolor: ink.grid, linecolor: ink.line, zeroline: false, automargin: false,
    tickfont: { color: ink.muted, size: 11 }, ...given,
  };
}

/** A layout in our theme; axes are completed, everything else is as given. */
function themed(layout) {
  const ink = colours();
  const axes = Object.entries(layout).filter(([name]) => /^[xy]axis\d*$/.test(name));
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false,
    font: { family: FONT, size: 12, color: ink.text },
    hoverlabel: { bgcolor: ink.surface, bordercolor: ink.line, font: { color: ink.text, family: FONT } },
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
    ...layout,
    margin: { ...layout.margin, autoexpand: false },
    ...Object.fromEntries(axes.map(([name, given]) => [name, axis(ink, given)])),
  };
}

/** Draw into an element, or change what is drawn there. */
export async function draw(element, { traces, layout }) {
  const { react } = await plotly();
  await react(element, traces, themed(layout), CONFIG);
}

/** Tell what people do on a drawing that has a step axis: `zoom(from, to)`, `reset()`, `click`, `hover`. */
export function listenTo(element, { zoom, reset, click, hover }) {
  element.on("plotly_relayout", (change) => {
    const [from, to] = change["xaxis.range"] ?? [change["xaxis.range[0]"], change["xaxis.range[1]"]];
    if (from !== undefined) zoom?.(Number(from), Number(to));
  });
  element.on("plotly_doubleclick", () => reset?.());
  element.on("plotly_click", ({ points }) => click?.(points));
  element.on("plotly_hover", ({ points }) => hover?.(points));
}
