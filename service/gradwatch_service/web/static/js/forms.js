// Forms as JSON: what they say, refusals shown at their fields, and questions before what is final.
import { Refused } from "./api.js";

const WORDS = {
  missing: "is needed",
  "string-too-short": "is needed",
  "too-short": "needs one at least",
  "too-long": "is too many",
  "string-too-long": "is too long",
  "bad-name": "has 1 to 512 bytes and no control characters",
  "int-parsing": "is a whole number",
  "int-type": "is a whole number",
};

function put(body, name, value) {
  const path = name.split("/");
  const last = path.pop();
  let at = body;
  for (const part of path) at = at[part] ??= {};
  at[last] = value;
}

function valueOf(field) {
  if (field.dataset.type === "lines") return field.value.split(/[\n,]/).map((x) => x.trim()).filter(Boolean);
  if (field.type === "checkbox") return field.checked;
  if (field.type === "number" || field.dataset.type === "number") return field.value === "" ? null : Number(field.value);
  return field.value.trim();
}

/** What a form says: the name of a field is its place in the body, `settings/url`; blanks are left out. */
export function valuesOf(form) {
  const body = {};
  for (const field of form.elements) {
    if (!field.name || field.matches(":disabled")) continue;
    if (field.dataset.type === "many") {
      body[field.name] ??= [];
      if (field.checked) body[field.name].push(field.value);
    } else if (field.type !== "radio" || field.checked) {
      const value = valueOf(field);
      if (value !== "") put(body, field.name, value);
    }
  }
  return body;
}

/** The field that a pointer such as `/settings/to/0` is about. */
function fieldAt(form, pointer) {
  const fields = [...form.elements].filter((one) => one.name && !one.matches(":disabled"));
  const place = pointer.slice(1);
  return fields.find((one) => place === one.name) ?? fields.find((one) => place.startsWith(`${one.name}/`));
}

/** The part of a problem's detail that is about one place, "url: it must …; secret: …". */
function wordsAt(problem, pointer, code) {
  const places = problem.errors.map((one) => `${one.pointer.split("/").slice(2).join(".")}: `);
  const own = `${pointer.split("/").slice(2).join(".")}: `;
  const start = own === ": " ? -1 : problem.detail.indexOf(own);
  if (start < 0) return WORDS[code] ?? (problem.errors.length === 1 ? problem.detail : code.replaceAll("-", " "));
  const rest = problem.detail.slice(start + own.length);
  const ends = places.map((one) => rest.indexOf(`; ${one}`)).filter((at) => at >= 0);
  return WORDS[code] ?? rest.slice(0, Math.min(...ends, rest.length));
}

function mark(field, words) {
  const note = document.createElement("p");
  note.className = "problem at-field";
  note.id = `${field.id || field.name.replaceAll("/", "-")}-problem`;
  note.textContent = words;
  (field.closest(".secret, .amount, fieldset .kind") ?? field).after(note);
  field.setAttribute("aria-invalid", "true");
  field.dataset.described = field.getAttribute("aria-describedby") ?? "";
  field.setAttribute("aria-describedby", `${field.dataset.described} ${note.id}`.trim());
}

/** Take back what was shown of an earlier refusal. */
export function clearProblems(form) {
  form.querySelectorAll(".problem.at-field").forEach((one) => one.remove());
  form.querySelectorAll("[aria-invalid]").forEach((one) => {
    one.removeAttribute("aria-invalid");
    one.setAttribute("aria-describedby", one.dataset.described);
    if (!one.dataset.described) one.removeAttribute("aria-describedby");
  });
  form.querySelectorAll(":scope > .problem").forEach((one) => (one.hidden = true));
}

/** Show a refusal at the fields it is about, what has no field below the form; focus the first. */
export function showProblem(form, problem) {
  const placed = (problem.errors ?? []).map(({ pointer, code }) => [fieldAt(form, pointer), wordsAt(problem, pointer, code)]);
  const known = placed.filter(([field]) => field);
  known.forEach(([field, words]) => mark(field, words));
  if (known.length && known.length === placed.length) return known[0][0].focus();
  let said = form.querySelector(":scope > .problem");
  if (!said) {
    said = Object.assign(document.createElement("p"), { className: "problem" });
    said.setAttribute("role", "alert");
    form.append(said);
  }
  said.textContent = problem.detail || problem.title;
  said.hidden = false;
}

/** What an answer was, or that there was none; a defect of ours stays one. */
export function problemOf(error) {
  if (error instanceof Refused) return error.problem;
  if (error instanceof TypeError && /fetch|network/i.test(error.message)) return { detail: "The service cannot be reached. Try again." };
  throw error;
}

/** Do something that takes a while, once at a time; the button says that it goes on. */
export async function busy(button, work) {
  if (button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  try {
    return await work();
  } finally {
    button.removeAttribute("aria-busy");
  }
}

/** When a form that fits the selector is sent: `act(values, form)`; refusals are shown, nothing is lost. */
export function onSubmit(selector, act) {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches(selector)) return;
    event.preventDefault();
    clearProblems(form);
    busy(event.submitter ?? form, async () => {
      try {
        await act(valuesOf(form), form);
      } catch (error) {
        showProblem(form, problemOf(error));
      }
    });
  });
}

/** When something with this `data-act` is pressed: `act(button)`; a refusal is said where it is. */
export function onAct(name, act) {
  document.addEventListener("click", (event) => {
    const button = event.target.closest(`[data-act="${name}"]`);
    if (!button) return;
    const said = button.closest("article, section, dialog")?.querySelector(".said");
    busy(button, async () => {
      try {
        await act(button);
      } catch (error) {
        const { detail, title } = problemOf(error);
        if (said) say(said, detail || title, "problem");
      }
    });
  });
}

/** Say something in a live region; a level of "problem" or "done". */
export function say(element, words, level = "done") {
  element.dataset.level = level;
  element.textContent = words;
}

/** Ask before going on; resolves to whether to. `more`: an element to show between words and buttons. */
export function ask({ title, words, action, danger = false, more = null }) {
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-labelledby", "question");
  const head = Object.assign(document.createElement("h2"), { id: "question", textContent: title });
  const text = Object.assign(document.createElement("p"), { textContent: words });
  const form = Object.assign(document.createElement("form"), { method: "dialog", className: "actions" });
  const yes = Object.assign(document.createElement("button"), { value: "yes", textContent: action, className: danger ? "danger" : "" });
  const no = Object.assign(document.createElement("button"), { value: "", textContent: "Cancel", className: "quiet" });
  form.append(no, yes);
  dialog.append(head, text, ...(more ? [more] : []), form);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
  });
}
