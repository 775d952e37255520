// What every page has: the theme button and the way out.
import { send } from "./api.js";

const THEMES = ["", "light", "dark"];
const NAMES = { "": "System", light: "Light", dark: "Dark" };
const root = document.documentElement;
const theme = document.getElementById("theme");

function show() {
  theme.textContent = `Theme: ${NAMES[root.dataset.theme ?? ""]}`;
}

theme.addEventListener("click", () => {
  const next = THEMES[(THEMES.indexOf(root.dataset.theme ?? "") + 1) % THEMES.length];
  if (next) root.dataset.theme = next;
  else delete root.dataset.theme;
  localStorage.setItem("gradwatch-theme", next);
  root.dispatchEvent(new CustomEvent("theme", { bubbles: true }));
  show();
});
show();

document.getElementById("signout")?.addEventListener("click", async () => {
  await send("DELETE", "/session");
  location.assign("/signin");
});
