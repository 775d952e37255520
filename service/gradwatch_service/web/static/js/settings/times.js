// Times in the reader's own zone; the exact one, in UTC, is kept as the title.
const SHORT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** Rewrite all times below a node. */
export function localise(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    time.title = time.dateTime;
    time.textContent = SHORT.format(new Date(time.dateTime));
  }
}

localise(document);
