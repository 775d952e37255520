// What changes, as the server tells it: one connection for a whole page, shared by all that listen.

const ADDRESS = "/api/v1/events";
const BATCH_MS = 500;
const HIDDEN_MS = 60_000;
const AGAIN_MS = 5_000;
const WORDS = { on: "live", lost: "reconnecting", off: "not live" };
const badge = document.getElementById("live");
const listeners = new Set();

let source = null;
let address = "";
let lastId = badge?.dataset.since ?? "";
let waiting = { runs: new Map(), alerts: new Map() };
let timer = null;
let again = null;
let hiding = null;

/**
 * Hear of changes: `runs` and `alerts` are handlers of arrays, `reset` of "read your lists anew".
 * `project` and `run` narrow what this listener gets; with `unseen` it hears in a hidden tab, too.
 * Returns a function that ends it.
 */
export function listen(listener) {
  listeners.add(listener);
  connect();
  return () => {
    listeners.delete(listener);
    connect();
  };
}

function show(state) {
  if (!badge || badge.dataset.state === state) return;
  badge.dataset.state = state;
  badge.textContent = WORDS[state];
}

/** What all listeners have in common is asked of the server, the rest is told apart here. */
function wanted() {
  const query = new URLSearchParams();
  for (const name of ["project", "run"]) {
    const values = new Set([...listeners].map((one) => one[name] ?? ""));
    const [only] = values;
    if (values.size === 1 && only) query.set(name, only);
  }
  return query.toString();
}

function isNeeded() {
  if (listeners.size === 0) return false;
  return !document.hidden || hiding !== null || [...listeners].some((one) => one.unseen);
}

/** Have the connection that the listeners need; none where there are none, or nobody looks. */
function connect() {
  const needed = isNeeded();
  const query = wanted();
  if (needed && source && query === address && source.readyState !== EventSource.CLOSED) return;
  clearTimeout(again);
  source?.close();
  source = null;
  if (!needed) return show("off");
  address = query;
  const since = lastId ? [["since", lastId]] : [];
  const all = new URLSearchParams([...new URLSearchParams(query), ...since]);
  source = new EventSource(`${ADDRESS}?${all}`);
  source.addEventListener("open", () => show("on"));
  source.addEventListener("error", lost);
  source.addEventListener("run", (event) => take("runs", event));
  source.addEventListener("alert", (event) => take("alerts", event));
  source.addEventListener("reset", reset);
}

/** The browser comes back by itself unless it was refused; then it is tried again now and then. */
function lost() {
  show("lost");
  if (source?.readyState === EventSource.CLOSED) again = setTimeout(connect, AGAIN_MS);
}

function take(kind, event) {
  lastId = event.lastEventId || lastId;
  const body = JSON.parse(event.data);
  waiting[kind].set(body.id, body);
  timer ??= setTimeout(() => (document.hidden ? deliver() : requestAnimationFrame(deliver)), BATCH_MS);
}

function deliver() {
  const { runs, alerts } = waiting;
  waiting = { runs: new Map(), alerts: new Map() };
  timer = null;
  for (const one of [...listeners]) {
    hand(one.runs, [...runs.values()].filter((run) => concerns(one, run.project, run.id)));
    hand(one.alerts, [...alerts.values()].filter((alert) => concerns(one, alert.project, alert.run_id)));
  }
}

function hand(handler, list) {
  if (handler && list.length > 0) handler(list);
}

function concerns(listener, project, run) {
  return (!listener.project || listener.project === project) && (!listener.run || listener.run === run);
}

function reset(event) {
  lastId = event.lastEventId || lastId;
  for (const one of [...listeners]) one.reset?.();
}

document.addEventListener("visibilitychange", () => {
  clearTimeout(hiding);
  hiding = null;
  if (!document.hidden) return connect();
  hiding = setTimeout(() => {
    hiding = null;
    connect();
  }, HIDDEN_MS);
});
addEventListener("pagehide", () => {
  source?.close();
  source = null;
});
addEventListener("pageshow", (event) => {
  if (event.persisted) connect();
});
