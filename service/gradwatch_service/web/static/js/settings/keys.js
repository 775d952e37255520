// Keys: made and shown once, rotated, revoked.
import { send } from "../api.js";
import { ask, onAct, onSubmit, say } from "../forms.js";
import { adopt, base, renew } from "./place.js";

const dialog = document.getElementById("new-key");
const text = document.getElementById("new-key-text");
const said = document.getElementById("said");

/** Show the text of a key for the only time; resolves when it has been put away. */
function show(key) {
  text.value = key;
  say(dialog.querySelector(".said"), "");
  dialog.showModal();
  text.select();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      text.value = "";
      resolve();
    }, { once: true });
  });
}

onAct("kept", () => dialog.close());
onAct("copy", async () => {
  text.select();
  try {
    await navigator.clipboard.writeText(text.value);
    say(dialog.querySelector(".said"), "Copied.", "good");
  } catch {
    say(dialog.querySelector(".said"), "The browser does not let this page copy: press Ctrl+C, the key is selected.", "problem");
  }
});

onSubmit("#make", async (values, form) => {
  const made = await send("POST", `${base}/keys`, values);
  form.reset();
  await show(made.key); // first: it is never told again
  await adopt(`key-${made.key_id}`, "keys", true);
  say(said, `The key ${made.name} is made.`);
});

onAct("rotate", async (button) => {
  const row = button.closest("tr");
  const more = document.getElementById("grace").content.cloneNode(true).firstElementChild;
  const sure = await ask({
    title: `Rotate ${row.dataset.name}?`,
    words: "A new key that may do the same is made, and shown once.",
    action: "Make the new key",
    more,
  });
  if (!sure) return;
  const body = { grace_seconds: Number(more.querySelector("select").value) };
  const made = await send("POST", `${base}${row.dataset.path}/rotate`, body);
  await show(made.key);
  await renew(row.id);
  await adopt(`key-${made.key_id}`, "keys", true);
  say(said, `${made.name} is rotated: put the new key where the old one is.`);
});

onAct("revoke", async (button) => {
  const row = button.closest("tr");
  const own = "mine" in row.dataset ? " You are signed in with this key: you will be signed out." : "";
  const sure = await ask({
    title: `Revoke ${row.dataset.name}?`,
    words: `Within 5 seconds it opens nothing any more, in no process, and it cannot be brought back.${own}`,
    action: "Revoke the key",
    danger: true,
  });
  if (!sure) return;
  await send("DELETE", base + row.dataset.path);
  await renew(row.id);
  say(said, `${row.dataset.name} is revoked.`);
  document.getElementById("main").focus();
});
