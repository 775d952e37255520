// The board: filters at once, curves as rows come into view, and everything live.
import { follow, wanted } from "./filters.js";
import { listen } from "./live.js";
import { isOn, notify, offer } from "./notify.js";
import { refetchList, renew, renewAlerts, replaceList, watchAll } from "./rows.js";

const news = document.getElementById("news");
let project = wanted().get("project");
const shown = new Map(); // alert -> what its card shows
// Alerts of which nobody has to be told any more.
const told = new Set(document.getElementById("urgent").dataset.firing.split(" "));

function announce(alert) {
  const card = document.getElementById(`a-${alert.id}`);
  const runName = card?.querySelector(".alert-run")?.textContent ?? "A run";
  news.textContent = `New alert, ${alert.severity}: ${runName}: ${alert.title}`;
  card?.classList.add("fresh");
  notify(alert, runName);
}

function showCount(count) {
  document.title = document.title.replace(/^(\(\d+\) )?/, count > 0 ? `(${count}) ` : "");
}

/** What a card shows; that an alert goes on is no news. */
const sum = (one) => JSON.stringify([one.state, one.severity, one.title, one.layers[0], one.regressed]);

/** Whether somebody has to know at once. */
function calls(one) {
  const isHere = !project || one.project === project;
  return isHere && one.state === "firing" && one.severity !== "info" && !one.silenced_by?.length;
}

async function onAlerts(alerts) {
  const changed = alerts.filter((one) => shown.get(one.id) !== sum(one));
  if (alerts.length && !changed.length) return;
  const fresh = changed.filter((one) => calls(one) && !told.has(one.id));
  await refetchAlerts(); // if this fails, it is news once more
  for (const one of changed) {
    shown.set(one.id, sum(one));
    if (one.state === "firing") told.add(one.id);
    else told.delete(one.id);
  }
  fresh.forEach(announce);
}

async function refetchAlerts() {
  const section = await renewAlerts();
  showCount(Number(section.dataset.count));
  return section;
}

/** The alerts are those of the project that is asked for. */
function onList(fresh) {
  replaceList(fresh);
  if (wanted().get("project") === project) return;
  project = wanted().get("project");
  onProject();
}

/** One after the other, so that an older answer never covers a newer one; what fails comes again. */
function inTurn(work) {
  let last = Promise.resolve();
  return (items) => {
    last = last.then(() => work(items)).catch(() => {});
  };
}

const onNews = inTurn(onAlerts);
/** What fires in another project is no news: it stands there. */
const onProject = inTurn(async () => {
  const section = await refetchAlerts();
  for (const id of section.dataset.firing.split(" ")) told.add(id);
});

watchAll();
follow(onList);
offer();
listen({
  runs: inTurn(renew),
  alerts: onNews,
  reset: inTurn(() => Promise.all([refetchList(), refetchAlerts()])),
  get unseen() {
    return isOn(); // whoever wants notifications is told in a hidden tab, too
  },
});
