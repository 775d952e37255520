// Keeps "12 s ago" true; counts as `words.ago` does on the server, by the server's clock.

const UNITS = [["s", 1, 60], ["min", 60, 3600], ["h", 3600, 172800], ["d", 86400, Infinity]];

/** How long ago, in one unit. */
export function ago(seconds) {
  const past = Math.floor(seconds);
  if (past < 2) return "now";
  const [unit, length] = UNITS.find(([, , most]) => past < most);
  return `${Math.floor(past / length)} ${unit} ago`;
}

/** Renew every `<time data-ago>` on the page now and then; `now`: the server's time at load. */
export function keepFresh(now, every = 5000) {
  const ahead = now - Date.now();
  function renew() {
    const moment = Date.now() + ahead;
    for (const time of document.querySelectorAll("time[data-ago]")) {
      const text = ago((moment - Date.parse(time.dateTime)) / 1000);
      if (time.textContent !== text) time.textContent = text;
    }
  }
  setInterval(renew, every);
}
