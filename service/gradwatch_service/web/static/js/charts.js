// The charts of the run page: one view of the steps for all of them, each read when it is near.
import { get } from "./api.js";
import { curves } from "./charts/curves.js";
import { heat } from "./charts/heatmap.js";
import { layerCurve } from "./charts/layer.js";
import { depth, time } from "./charts/profiles.js";
import { ratios } from "./charts/ratios.js";
import { origin, readFacts } from "./facts.js";
import { listen } from "./live.js";
import { Panel } from "./panel.js";
import { onTheme, plotly } from "./plot.js";
import { connect, offerLayers, offerTrouble, showStep } from "./toolbar.js";
import { View } from "./view.js";

const PAUSE_MS = 150;
const LIVE_MS = 1000;
const ALONG_STEPS = ["curves", "heatmap", "layer", "ratios"];
// What of the view each chart has to be read anew for.
const USES = {
  from: ALONG_STEPS, to: ALONG_STEPS, metric: ["heatmap", "layer"], layer: ["layer"], with: ["curves"],
  step: ["depth", "time"],
};
// What of it each chart shows at once, with the numbers it has.
const SHOWS = { from: ALONG_STEPS, to: ALONG_STEPS, layer: ["heatmap"], step: ["curves"] };

const root = document.getElementById("charts");
const { run, lastStep, layers, attempts } = root.dataset;
const view = new View(Number(lastStep));
const context = {
  run, view, layers: Number(layers), attempts: JSON.parse(attempts), facts: { current: null }, names: [],
  layer: ({ alerts = [] }) => view.state.layer ?? origin(alerts)?.layers[0] ?? context.names[0],
  offer, showStep, learn,
};
learn();
const panels = Object.fromEntries([curves, heat, layerCurve, ratios, depth, time].map((chart) => [
  chart.id, new Panel(document.getElementById(chart.id), chart, context),
]));

function offer(names) {
  if (names.join("\n") === context.names.join("\n")) return;
  context.names = names;
  offerLayers(view, names);
  if (panels.layer.root.dataset.state === "empty") refresh(panels.layer);
}

/** Read a chart anew if it is near the screen, else when it comes there. */
function refresh(panel) {
  panel.isStale = true;
  if (panel.isNear) renew(panel);
}

/** The same without letting go of what is being read: news may come faster than it is read. */
function refreshInTurn(panel) {
  if (!panel.reading) refresh(panel);
  else if (!panel.isAwaited) {
    panel.isAwaited = true;
    panel.reading.then(() => {
      panel.isAwaited = false;
      refresh(panel);
    });
  }
}

function renew(panel) {
  if (!panel.isStale) return;
  panel.isStale = false;
  panel.refresh();
}

function watch() {
  const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const panel = panels[target.id];
      panel.isNear = isIntersecting;
      if (isIntersecting) renew(panel);
    }
  }, { rootMargin: "300px" });
  for (const panel of Object.values(panels)) {
    panel.isStale = true;
    observer.observe(panel.root);
  }
}

let pause = 0;
const due = new Set();

view.addEventListener("change", ({ detail: names }) => {
  for (const name of names) for (const id of USES[name]) due.add(panels[id]);
  for (const id of new Set(names.flatMap((name) => SHOWS[name] ?? []))) panels[id].redraw();
  clearTimeout(pause);
  pause = setTimeout(() => {
    due.forEach(refresh);
    due.clear();
  }, PAUSE_MS);
});

let live = 0;
const news = { last: 0, alerts: false };

/** What came in since, at most once a second; charts are read anew where the view is at the end. */
function catchUp() {
  live = 0;
  if (document.getElementById("run").hasAttribute("data-leaving")) return; // it is being deleted
  if (news.alerts) learn();
  const isFollowing = view.follow(news.last);
  if (isFollowing || news.alerts) for (const id of ALONG_STEPS) refreshInTurn(panels[id]);
  news.alerts = false;
}

function soon() {
  live ||= setTimeout(catchUp, LIVE_MS);
}

/** Read alerts, guard and events; charts wait for them, and tell if they cannot be had. */
function learn() {
  context.facts.current = readFacts(run);
  context.facts.current.then(({ alerts }) => offerTrouble(view, origin(alerts)), () => {});
}

listen({
  run,
  runs: ([one]) => {
    news.last = one.last_step ?? 0;
    soon();
  },
  alerts: () => {
    news.alerts = true;
    soon();
  },
  reset: async () => {
    const now = await get(`/runs/${run}`).catch(() => null); // gone, or to be asked at the next event
    if (!now) return;
    news.last = now.last_step ?? 0;
    news.alerts = true;
    soon();
  },
});
onTheme(() => Object.values(panels).forEach((panel) => panel.redraw()));
connect(view);
plotly();
watch();
