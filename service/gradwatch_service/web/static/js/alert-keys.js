// The keys of the list: j and k move, x selects, a r s act, Enter opens. They can be switched off.
// What the shell takes for itself (g a) comes here prevented.

const ACTS = { a: "acknowledge", r: "resolve", s: "silence" };
const STORED = "gradwatch-keys";

function isTyping(target) {
  return target.matches("input:not([type=checkbox]), select, textarea");
}

/** The row that somebody is at. */
export function current() {
  return document.activeElement?.closest(".alert") ?? null;
}

function move(by) {
  const rows = [...document.querySelectorAll(".alert")];
  if (!rows.length) return;
  const at = rows.indexOf(current());
  const next = at < 0 ? 0 : Math.min(Math.max(at + by, 0), rows.length - 1);
  rows[next].querySelector(".title").focus();
  rows[next].scrollIntoView({ block: "nearest" });
}

/** Listen; ``does``: act(kind), toggle(row), none(). */
export function keyboard(does) {
  const box = document.getElementById("keys");
  box.checked = localStorage.getItem(STORED) !== "off";
  box.addEventListener("change", () => localStorage.setItem(STORED, box.checked ? "on" : "off"));
  const keys = {
    j: () => move(1),
    k: () => move(-1),
    x: () => current() && does.toggle(current()),
    Escape: () => does.none(),
    Enter: () => document.activeElement.matches(".pick input") && current().querySelector(".title").click(),
  };
  for (const [key, kind] of Object.entries(ACTS)) keys[key] = () => does.act(kind);
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || !box.checked || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (document.querySelector("dialog[open]") || (event.repeat && !"jk".includes(event.key))) return;
    const does_it = keys[event.key];
    if (!does_it) return;
    if (event.key !== "Enter") event.preventDefault();
    does_it();
  });
}
