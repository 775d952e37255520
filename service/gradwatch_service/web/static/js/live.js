// A stand-in until the real one is merged: asks for changes, and passes on what is new.
import { get } from "./api.js";

const PAUSE = 500;

/** Call `runs` and `alerts` with what changed; returns a function that stops it. */
export function listen({ runs, alerts, project, run }) {
  const known = new Map();
  let timer = 0;
  let stopped = false;

  function news(items, stamp) {
    const changed = items.filter((one) => known.get(one.id) !== stamp(one));
    for (const one of changed) known.set(one.id, stamp(one));
    return changed;
  }

  async function look(first) {
    const [ofRuns, ofAlerts] = await Promise.all([
      get("/runs", { project, limit: 100 }), get("/alerts", { project, run, limit: 100 }),
    ]);
    const changed = news(ofRuns.items, (one) => `${one.last_seen_at} ${one.state} ${one.health} ${one.open_alerts}`);
    const raised = news(ofAlerts.items, (one) => `${one.updated_at} ${one.state}`);
    if (!first && changed.length) runs?.(changed);
    if (!first && raised.length) alerts?.(raised);
  }

  async function turn(first) {
    try {
      await look(first);
      show("on", "live");
    } catch {
      show("lost", "connection lost");
    }
    if (!stopped) timer = setTimeout(turn, PAUSE, false);
  }

  turn(true);
  return () => {
    stopped = true;
    clearTimeout(timer);
    show("off", "not live");
  };
}

function show(state, text) {
  const sign = document.getElementById("live");
  if (!sign || sign.dataset.state === state) return;
  sign.dataset.state = state;
  sign.textContent = text;
}
