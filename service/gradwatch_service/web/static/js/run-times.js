// Times as "3 min ago", kept right; the title says when, in the reader's zone.

const UNITS = [[86400, "d"], [3600, "h"], [60, "min"]];
const PAUSE = 10_000;

function ago(seconds) {
  const unit = UNITS.find(([size]) => seconds >= size);
  return unit ? `${Math.floor(seconds / unit[0])} ${unit[1]} ago` : "just now";
}

/** Write the times below a node as they are now. */
export function tellTimes(root) {
  for (const one of root.querySelectorAll("time[data-when]")) {
    const moment = new Date(one.dateTime);
    one.title = moment.toLocaleString();
    one.textContent = ago((Date.now() - moment) / 1000);
  }
}

/** Keep the times of the page right. */
export function keepTimes() {
  tellTimes(document);
  setInterval(tellTimes, PAUSE, document);
}
