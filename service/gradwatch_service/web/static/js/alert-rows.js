// Rows of the list as the server renders them now, put in place without losing anybody's place.

const MOST = 100; // ids in one question
const FOCUSABLE = "a, input";

export const list = document.getElementById("list");
const nothing = document.getElementById("nothing");
const wanted = new Set();
let asking = null;

/** Show these alerts as they are now; resolves, once they are, with the rows that are new. */
export function refresh(ids) {
  for (const id of ids) wanted.add(id);
  asking ??= ask().finally(() => { asking = null; });
  return asking;
}

/** Read the whole list anew, and what is shown beside it. */
export async function refreshAll() {
  const shown = [...list.querySelectorAll(".alert")].map((row) => row.dataset.id);
  const fresh = await read(list.dataset.query);
  const appeared = put(fresh);
  return [...appeared, ...(await refresh(shown.filter((id) => !fresh.getElementById(`alert-${id}`))))];
}

async function ask() {
  const appeared = [];
  while (wanted.size) {
    const ids = [...wanted].slice(0, MOST);
    for (const id of ids) wanted.delete(id);
    appeared.push(...put(await fetched(ids)));
  }
  return appeared;
}

function fetched(ids) {
  const query = new URLSearchParams(list.dataset.query.split("?")[1]);
  for (const id of ids) query.append("id", id);
  return read(`/alerts/rows?${query}`);
}

async function read(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error("The list could not be read again. Load the page anew.");
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

function put(fresh) {
  const appeared = [];
  const oldest = document.querySelector("a[rel=next]") ? opened([...list.querySelectorAll(".alert")].at(-1)) : "";
  steadily(() => {
    for (const row of [...fresh.querySelectorAll(".alert")].reverse()) {
      const shown = document.getElementById(row.id);
      if (shown) swap(shown, row);
      else if (list.dataset.first && !("left" in row.dataset) && opened(row) > oldest) appeared.push(insert(row));
    }
  });
  swap(document.getElementById("states"), fresh.getElementById("states"));
  nothing.hidden = Boolean(list.querySelector(".alert"));
  return appeared;
}

/** When an alert began; what began before the last one shown stands on a later page. */
function opened(row) {
  return row?.querySelector(".since time").dateTime ?? "";
}

/** Replace an element by a newer one; what was chosen and where the focus was stays. */
function swap(old, fresh) {
  const at = [...old.querySelectorAll(FOCUSABLE)].indexOf(document.activeElement);
  const box = fresh.querySelector("input[type=checkbox]");
  if (box) box.checked = old.querySelector("input[type=checkbox]").checked;
  old.replaceWith(fresh);
  const places = fresh.querySelectorAll(FOCUSABLE);
  if (at >= 0) places[Math.min(at, places.length - 1)].focus({ preventScroll: true });
}

function insert(row) {
  const theirs = row.closest(".group");
  const same = [...list.querySelectorAll(".group")].find((one) => one.dataset.group === theirs.dataset.group);
  row.dataset.fresh = "";
  if (same) same.querySelector(".alerts").prepend(row);
  else list.prepend(theirs);
  return row;
}

/** Change the list; what somebody is looking at stays where it is on the screen. */
function steadily(change) {
  const looked = [...list.querySelectorAll(".alert")].find((row) => row.getBoundingClientRect().bottom > 0);
  const before = looked?.getBoundingClientRect().top;
  change();
  const now = looked && document.getElementById(looked.id);
  if (now && scrollY > 0) scrollBy(0, now.getBoundingClientRect().top - before);
}
