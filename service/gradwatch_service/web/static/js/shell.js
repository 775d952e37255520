// What every page has: themes, times, the keyboard, and the way out.
import { send } from "./api.js";
import { start } from "./times.js";

const THEMES = ["", "light", "dark"];
const NAMES = { "": "system", light: "light", dark: "dark" };
const PLACES = { b: "/", a: "/alerts", s: "/settings" };
const SEQUENCE_MS = 1_500;
const root = document.documentElement;
const theme = document.getElementById("theme");
const shortcuts = document.getElementById("shortcuts");

function chosen() {
  return root.dataset.theme ?? "";
}

function next() {
  return THEMES[(THEMES.indexOf(chosen()) + 1) % THEMES.length];
}

function showTheme() {
  theme.querySelector(".words").textContent = `Theme: ${NAMES[chosen()]}`;
  theme.setAttribute("aria-label", `Theme: ${NAMES[chosen()]}. Change to ${NAMES[next()]}`);
  theme.title = `Change to ${NAMES[next()]}`;
}

theme.addEventListener("click", () => {
  const wanted = next();
  if (wanted) root.dataset.theme = wanted;
  else delete root.dataset.theme;
  localStorage.setItem("gradwatch-theme", wanted);
  root.dispatchEvent(new CustomEvent("theme", { bubbles: true }));
  showTheme();
});

document.getElementById("signout")?.addEventListener("click", async () => {
  await send("DELETE", "/session");
  location.assign("/signin");
});

function showShortcuts() {
  if (!shortcuts.open) shortcuts.showModal();
}

document.getElementById("help")?.addEventListener("click", showShortcuts);
shortcuts?.querySelector("button").addEventListener("click", () => shortcuts.close());
shortcuts?.addEventListener("click", (event) => {
  if (event.target === shortcuts) shortcuts.close(); // outside of it
});

function isTyping(target) {
  return target.closest?.("input:not([type=checkbox], [type=radio], [type=range]), textarea, select, [contenteditable]");
}

let wentAt = -Infinity;

/** Returns whether the key was meant for us. */
function press(key, at) {
  const place = at - wentAt < SEQUENCE_MS ? PLACES[key] : undefined;
  wentAt = key === "g" ? at : -Infinity;
  if (place) location.assign(place);
  else if (key === "?") showShortcuts();
  else if (key === "/") return focusSearch();
  else return false;
  return true;
}

function focusSearch() {
  const all = [...document.querySelectorAll("main input[type=search]")];
  const search = all.find((one) => one.checkVisibility());
  search?.focus();
  search?.select();
  return Boolean(search);
}

if (shortcuts) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
    if (localStorage.getItem("gradwatch-keys") === "off") return; // chosen below the list of alerts
    if (press(event.key, event.timeStamp)) event.preventDefault();
  });
}

showTheme();
start();
