// A notification of the browser for every alert that begins to fire, for those who asked for it.

const KEY = "gradwatch-notify";
const button = document.getElementById("notify");
const said = document.getElementById("notify-said");
const can = "Notification" in window && window.isSecureContext;

/** Whether somebody asked for it, and the browser allows it. */
export const isOn = () => can && localStorage.getItem(KEY) === "on" && Notification.permission === "granted";

function show(text = "") {
  button.setAttribute("aria-pressed", String(isOn()));
  button.textContent = isOn() ? "Notifying me" : "Notify me";
  said.textContent = text;
}

async function toggle() {
  if (isOn()) {
    localStorage.setItem(KEY, "off");
    return show("No more notifications.");
  }
  if ((await Notification.requestPermission()) !== "granted") {
    return show("The browser does not allow notifications here; its settings for this site can.");
  }
  localStorage.setItem(KEY, "on");
  return show("A notification comes for every new alert while this page is open.");
}

/** Offer it, where the browser can. */
export function offer() {
  if (!button || !can) return;
  button.hidden = false;
  button.addEventListener("click", toggle);
  show();
}

/** Tell of an alert; a click leads to its run. */
export function notify(alert, runName) {
  if (!isOn()) return;
  let note;
  try {
    note = new Notification(`${runName}: ${alert.title}`, {
      body: `${alert.severity}, since step ${alert.opened_step}`, tag: alert.id,
    });
  } catch {
    return; // browsers of phones have the class, but do not let pages use it
  }
  note.addEventListener("click", () => {
    window.focus();
    location.assign(`/runs/${alert.run_id}`);
  });
}
