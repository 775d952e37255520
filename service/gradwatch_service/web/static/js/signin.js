// A key becomes a session, and the reader goes where they wanted to.
import { get, send } from "./api.js";

const NOT_KEPT = "The key is right, but this browser does not stay signed in here: allow cookies, and use https://";
const form = document.getElementById("signin");
const said = document.getElementById("said");
const button = form.querySelector("button");
const insecure = document.getElementById("insecure");

/** Only places of this service. */
function wanted() {
  const next = new URLSearchParams(location.search).get("next") ?? "/";
  if (!URL.canParse(next, location.origin)) return "/";
  const url = new URL(next, location.origin);
  return url.origin === location.origin ? url.href : "/"; // whole: a path may begin with two slashes
}

function say(words) {
  said.textContent = `${words.charAt(0).toUpperCase()}${words.slice(1)}.`.replace("..", ".");
  said.hidden = false;
  form.elements.key.setAttribute("aria-invalid", "true");
  form.elements.key.select();
}

async function signIn(key) {
  await send("POST", "/session", { key });
  try {
    await get("/session");
  } catch (error) {
    throw error.problem?.status === 401 ? new Error(NOT_KEPT) : error;
  }
  location.assign(wanted());
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  said.hidden = true;
  button.disabled = true;
  try {
    await signIn(new FormData(form).get("key").trim());
  } catch (error) {
    say(error.message);
  } finally {
    button.disabled = false;
  }
});

if (insecure) insecure.hidden = window.isSecureContext;
form.elements.key.focus();
