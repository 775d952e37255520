// Channels: added, tried, switched, changed, deleted; dead letters sent once more.
import { Refused, send } from "../api.js";
import { ask, onAct, onSubmit, say, valuesOf } from "../forms.js";
import { adopt, base, renew } from "./place.js";
import "./secrets.js";

const add = document.getElementById("add");

/** The fields of the chosen kind are asked for; those of others wait with what they hold. */
function choose() {
  const kind = add.elements.kind.value;
  for (const part of add.querySelectorAll("[data-kind]")) {
    part.hidden = part.disabled = part.dataset.kind !== kind;
  }
}

if (!add.querySelector("fieldset").disabled) {
  add.addEventListener("change", (event) => event.target.name === "kind" && choose());
  choose();
}

onSubmit("#add", async (values, form) => {
  const made = await send("POST", `${base}/channels`, { ...values, settings: values.settings ?? {} });
  form.reset();
  choose();
  const card = await adopt(`channel-${made.id}`, "channels");
  say(card.querySelector(".said"), "Added. Send a test to see that it arrives.");
  card.querySelector("h3").focus();
});

const cardOf = (element) => element.closest(".channel");

/** Switch a channel and show it as it is then. */
async function toggle(button, enabled, words) {
  const card = cardOf(button);
  await send("PATCH", base + card.dataset.path, { enabled });
  const renewed = await renew(card.id);
  say(renewed.querySelector(".said"), words);
  renewed.querySelector('[data-act="on"], [data-act="off"]').focus();
}

onAct("on", (button) => toggle(button, true, "Switched on."));
onAct("off", (button) => toggle(button, false, "Switched off: nobody is told by it."));

onAct("test", async (button) => {
  const card = cardOf(button);
  const said = card.querySelector(".said");
  say(said, "Sending a test message …");
  try {
    await send("POST", `${base}${card.dataset.path}/test`);
    say(said, "Delivered: the other side has taken the test message.", "good");
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    say(said, `Not delivered: ${error.message}`, "problem");
  }
});

onAct("delete", async (button) => {
  const card = cardOf(button);
  const sure = await ask({
    title: `Delete ${card.dataset.name}?`,
    words: "What is on its way there is dropped, and its settings and secrets are gone. To pause it, switch it off instead.",
    action: "Delete the channel",
    danger: true,
  });
  if (!sure) return;
  await send("DELETE", base + card.dataset.path);
  card.remove();
  if (!document.querySelector(".channel")) await renew("channels");
  document.getElementById("add-title").scrollIntoView({ block: "nearest" });
  document.getElementById("main").focus();
});

async function change(values, form, words) {
  const card = cardOf(form);
  await send("PATCH", base + card.dataset.path, values);
  const renewed = await renew(card.id);
  say(renewed.querySelector(".said"), words);
  renewed.querySelector("h3").focus();
}

onSubmit(".change", (values, form) => change(values, form, "Saved."));
onSubmit(".replace", (values, form) =>
  change({ settings: { ...kept(form), ...values.settings } }, form, "Replaced. Send a test to see that it arrives."));

/** Which alerts it wants to hear of goes on as the form above says. */
function kept(form) {
  return valuesOf(cardOf(form).querySelector(".change")).settings;
}

onAct("replay", async (button) => {
  const row = button.closest("tr");
  const said = document.querySelector("#letters > .said");
  await send("POST", `${base}${row.dataset.path}/replay`);
  row.remove();
  say(said, "It is on its way once more, with all its retries.");
  document.getElementById("letters-title").focus();
});
