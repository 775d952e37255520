// Parts of the run's page as the server renders them now, in place of those shown.
import { fragment } from "./fragment.js";

const PARTS = ["run-head", "run-lead", "run-more", "run-dialogs"];

/** Fetch the parts and exchange those that say something else. */
export async function exchange(run) {
  const fresh = await fragment(`/runs/${run}/parts`, "");
  for (const id of PARTS) {
    const [old, now] = [document.getElementById(id), fresh.getElementById(id)];
    if (old && now && !old.querySelector("dialog[open]")) swap(old, now);
  }
}

function swap(old, now) {
  keepOpen(old, now);
  keepWritten(old, now);
  if (timeless(old).isEqualNode(timeless(now))) return;
  const active = old.contains(document.activeElement) ? document.activeElement : null;
  const place = active && wayTo(active);
  const { selectionStart: from, selectionEnd: to } = active ?? {};
  old.replaceWith(now);
  const same = place && now.querySelector(place);
  same?.focus({ preventScroll: true });
  if (same?.name === "comment") same.setSelectionRange(from, to);
}

/** The same without how long ago things were: that goes on by itself. */
export function timeless(part) {
  const copy = part.cloneNode(true);
  for (const one of copy.querySelectorAll("time")) one.replaceWith(one.dateTime);
  return copy;
}

/** What was unfolded stays so. */
function keepOpen(old, now) {
  for (const one of old.querySelectorAll("details[id]")) {
    const same = now.querySelector(`#${CSS.escape(one.id)}`);
    if (same) same.open = one.open;
  }
}

/** A comment that somebody is writing stays. */
function keepWritten(old, now) {
  for (const form of old.querySelectorAll("form[data-alert]")) {
    const same = now.querySelector(`form[data-alert="${form.dataset.alert}"]`);
    if (!same) continue;
    same.elements.comment.value = form.elements.comment.value;
    same.elements.duration.value = form.elements.duration.value;
  }
}

/** How to find again what has the focus. */
function wayTo(element) {
  const { hand, copy, act } = element.dataset;
  if (hand) return `[data-hand="${hand}"]`;
  if (copy) return `[data-copy="${copy}"]`;
  const form = element.closest("form[data-alert]");
  if (form) {
    const inside = act ? `[data-act="${act}"]` : `[name="${element.name}"]`;
    return `form[data-alert="${form.dataset.alert}"] ${inside}`;
  }
  const folded = element.closest("details[id]");
  return folded ? `#${CSS.escape(folded.id)} > summary` : null;
}
