// A key becomes a session, and the reader goes where they wanted to.
import { send } from "./api.js";

const form = document.getElementById("signin");
const said = form.querySelector(".problem");

/** Only places of this service. */
function wanted() {
  const url = new URL(new URLSearchParams(location.search).get("next") ?? "/", location.origin);
  return url.origin === location.origin ? url.pathname + url.search : "/";
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  said.hidden = true;
  try {
    await send("POST", "/session", { key: new FormData(form).get("key").trim() });
    location.assign(wanted());
  } catch (error) {
    said.textContent = error.message;
    said.hidden = false;
  }
});
