// The filters of the board: rows hide at once, then the server's list replaces them.
import { fragment } from "./fragment.js";

const PAUSE = 150;
const form = document.getElementById("filters");

/** What is asked for, as in the address; empty filters are left out. */
export function wanted() {
  const source = form ? new FormData(form) : new URLSearchParams(location.search);
  const given = new URLSearchParams();
  for (const [name, value] of source) if (value !== "") given.append(name, value);
  return given;
}

function fits(row, filters) {
  const is = (name, value) => !filters.has(name) || filters.get(name) === value;
  if (!is("health", row.dataset.health) || !is("state", row.dataset.state)) return false;
  if (!is("project", row.querySelector(".c-project").textContent)) return false;
  const name = row.querySelector(".c-name");
  const tag = filters.get("tag");
  if (tag && ![...name.querySelectorAll(".t")].some((one) => one.textContent === tag)) return false;
  const part = filters.get("q")?.toLowerCase();
  return !part || name.firstElementChild.textContent.toLowerCase().includes(part);
}

/** Say how many runs the list shows. */
export function showCount(count) {
  const place = document.getElementById("shown");
  if (place) place.textContent = count.toLocaleString("en");
}

function narrow(filters) {
  let shown = 0;
  for (const row of document.getElementById("rows")?.rows ?? []) {
    row.hidden = !fits(row, filters);
    shown += !row.hidden;
  }
  showCount(shown);
}

/** Follow the filters; `replaced` is called when another list has come. */
export function follow(replaced) {
  if (!form) return;
  let timer = 0;
  let asking = new AbortController();

  async function refetch(filters) {
    asking = new AbortController();
    try {
      replaced(await fragment("/board/runs", filters, asking.signal));
    } catch {
      // Overtaken, or the connection is lost, as the badge says: the rows are narrowed already.
    }
  }

  function changed() {
    const filters = wanted();
    const search = filters.toString();
    history.replaceState(null, "", search ? `/?${search}` : "/");
    narrow(filters);
    asking.abort(); // that list is no longer wanted
    clearTimeout(timer);
    timer = setTimeout(refetch, PAUSE, filters);
  }

  form.classList.add("at-once");
  form.addEventListener("input", changed);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    changed();
  });
  const shown = new URLSearchParams(location.search);
  if ([...wanted()].some(([name, value]) => shown.get(name) !== value)) changed(); // typed before we came
}
