// Rename, tag, end and delete a run; what cannot be undone names it first.
import { send } from "./api.js";

const CHANGES = {
  rename: (path, fields) => send("PATCH", path, { name: fields.get("name").trim() }),
  retag: (path, fields) => send("PATCH", path, { tags: tagsOf(fields.get("tags")) }),
  finish: (path, fields) => send("POST", `${path}/finish`, {
    state: fields.get("state"), ...(fields.get("reason") && { reason: fields.get("reason") }),
  }),
  delete: (path) => send("DELETE", path),
};
const SAID = { rename: "Renamed.", retag: "The tags are saved.", finish: "Marked as ended." };

function tagsOf(text) {
  return [...new Set(text.split(",").map((one) => one.trim()).filter(Boolean))];
}

/** Make the menu work; `say`, `refuse` and `refresh` are the page's. */
export function wireDialogs(run, { say, refuse, refresh }) {
  document.getElementById("run").addEventListener("click", (event) => {
    const opener = event.target.closest("[data-dialog]");
    if (opener) {
      document.getElementById("run-menu").open = false;
      document.getElementById(`dialog-${opener.dataset.dialog}`).showModal();
    }
    if (event.target.closest("[data-close]")) event.target.closest("dialog").close();
  });
  document.getElementById("run").addEventListener("submit", (event) => {
    if (event.target.dataset.change) change(run, event.target, { say, refuse, refresh });
  });
  document.addEventListener("click", (event) => {
    const menu = document.getElementById("run-menu");
    if (menu?.open && !menu.contains(event.target)) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    const menu = document.getElementById("run-menu");
    if (event.key !== "Escape" || !menu?.open) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
}

async function change(run, form, { say, refuse, refresh }) {
  const kind = form.dataset.change;
  const page = document.getElementById("run");
  page.toggleAttribute("data-leaving", kind === "delete"); // what is gone is not followed
  try {
    const now = await CHANGES[kind](`/runs/${run}`, new FormData(form));
    if (kind === "delete") {
      location.assign("/");
      return;
    }
    if (kind === "rename") document.title = `${now.name} · Gradwatch`;
    await refresh();
    say(SAID[kind]);
  } catch (error) {
    page.removeAttribute("data-leaving");
    refuse(error);
  }
}
