// What a back-test found, as people read it: counts, and per run what would come, go or differ.

const MOST_RUNS = 30;
const COUNTS = [
  ["pages", "Calls to people"],
  ["warnings", "Warnings"],
  ["information", "Information"],
];
const SIGNS = { gone: ["−", "gone"], new: ["+", "new"], other: ["~", "otherwise"] };
const number = new Intl.NumberFormat("en");

function make(name, words = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = words;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function draw(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** The whole in a sentence, for those who hear it. */
export function sentence({ totals, left_out: left }) {
  const runs = `${number.format(totals.runs)} ${totals.runs === 1 ? "run" : "runs"}`;
  const out = left.length ? ` ${left.length} left out: ${[...new Set(left.map((one) => one.why))].join("; ")}.` : "";
  if (!totals.runs) return `There is no stored run to try this on.${out}`;
  const tried = `Tried on ${runs}, ${number.format(totals.steps)} steps: `;
  return `${tried}${totals.changed ? `${totals.changed} would differ` : "nothing would differ"}.${out}`;
}

/** Counts side by side: now, and with what is proposed. */
export function tally({ present, proposed }) {
  const table = make("table");
  const head = table.createTHead().insertRow();
  for (const words of ["Alerts", "now", "yours"]) head.append(make("th", words, { scope: "col" }));
  const body = table.createTBody();
  for (const [key, words] of COUNTS) {
    const row = body.insertRow();
    const change = proposed[key] - present[key];
    row.append(make("th", words, { scope: "row" }), make("td", number.format(present[key]), { class: "number" }));
    const cell = make("td", number.format(proposed[key]), { class: "number" });
    if (change) cell.append(make("span", change > 0 ? `+${change}` : `−${-change}`, { class: "tag", "data-change": change > 0 ? "more" : "fewer" }));
    row.append(cell);
  }
  return table;
}

/** Alerts of one run that differ; there is one for each cause. */
export function differences({ present, proposed }) {
  const now = new Map(present.map((one) => [one.cause, one]));
  const yours = new Map(proposed.map((one) => [one.cause, one]));
  return [...new Set([...now.keys(), ...yours.keys()])].flatMap((cause) => {
    const [before, after] = [now.get(cause), yours.get(cause)];
    if (JSON.stringify(before) === JSON.stringify(after)) return [];
    return [{ kind: !after ? "gone" : !before ? "new" : "other", before, after }];
  });
}

const calls = (alert) => (alert.actionable ? `${alert.severity}, calls` : alert.severity);

/** How an alert that stays would differ. */
function how({ before, after }) {
  const found = [];
  const later = after.opened_step - before.opened_step;
  if (later) found.push(`${number.format(Math.abs(later))} steps ${later > 0 ? "later" : "earlier"}`);
  if (calls(before) !== calls(after)) found.push(`${calls(before)} → ${calls(after)}`);
  if (before.resolved_step !== after.resolved_step) found.push("ends at another step");
  return found.join(", ") || "with other words";
}

function line(change) {
  const alert = change.after ?? change.before;
  const [sign, words] = SIGNS[change.kind];
  const item = make("li", "", { "data-kind": change.kind });
  item.append(make("span", sign, { class: "sign", "aria-hidden": "true" }), make("span", `${words}: `, { class: "visually-hidden" }));
  const title = make("span", `${alert.title}:`, { class: "title" });
  const more = change.kind === "other" ? how(change) : calls(alert);
  const step = alert.title.includes("step") ? "" : ` step ${number.format(alert.opened_step)},`;
  title.append(make("span", `${step} ${more}`, { class: "muted" }));
  item.append(title);
  return item;
}

/** Both judgements of a run along its steps: now above, yours below. */
function timeline(run) {
  const alerts = [...run.present, ...run.proposed];
  const last = Math.max(run.steps, ...alerts.map((one) => Math.max(one.opened_step, one.resolved_step ?? 0)), 1);
  const svg = draw("svg", { viewBox: "0 0 600 30", class: "timeline", preserveAspectRatio: "none", role: "img" });
  svg.setAttribute("aria-label", `Alerts along ${number.format(last)} steps: ${run.present.length} now, ${run.proposed.length} with yours.`);
  [run.present, run.proposed].forEach((side, row) => {
    const y = 4 + 14 * row;
    svg.append(draw("rect", { x: 0, y, width: 600, height: 8, class: "lane" }));
    for (const one of side) {
      const x = (600 * one.opened_step) / last;
      const end = one.resolved_step === null ? 600 : (600 * one.resolved_step) / last;
      svg.append(draw("rect", { x, y, width: Math.max(end - x, 4), height: 8, class: row ? "yours" : "now" }));
    }
  });
  return svg;
}

function runOf(run) {
  const section = make("section", "", { class: "tried" });
  const title = make("h3");
  title.append(make("a", run.name, { href: `/runs/${run.run_id}` }), make("span", ` ${number.format(run.steps)} steps`, { class: "muted" }));
  const list = make("ul");
  list.append(...differences(run).map(line));
  section.append(title, timeline(run), list);
  return section;
}

/** All runs that would differ, the newest first. */
export function runs(answer) {
  const changed = answer.runs.filter((one) => one.changed);
  const shown = changed.slice(0, MOST_RUNS).map(runOf);
  if (shown.length) shown.unshift(legend());
  if (changed.length > MOST_RUNS) shown.push(make("p", `… and ${changed.length - MOST_RUNS} more runs`));
  return shown;
}

function legend() {
  const made = make("p", "Each run along its steps: ", { class: "legend muted" });
  made.append(make("span", "now", { class: "key-now" }), " above, ", make("span", "yours", { class: "key-yours" }), " below.");
  return made;
}
