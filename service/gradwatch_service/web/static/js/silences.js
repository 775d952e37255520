// Silences: making one, seeing what it would cover, and ending one.
import { told } from "./alert-acts.js";
import { send } from "./api.js";

const PAUSE = 250; // while somebody types
const form = document.getElementById("silence");
const lines = document.getElementById("matchers");
const preview = document.getElementById("preview");
const refused = document.getElementById("refused");
let timer = 0;
let question = new AbortController();

function matchers() {
  return [...lines.children].map((line) => {
    const [name, op, value] = ["name", "op", "value"].map((field) => line.querySelector(`[name=${field}]`).value);
    return { name, op, value };
  });
}

async function look() {
  question.abort();
  question = new AbortController();
  const query = new URLSearchParams({ project: form.elements.project.value });
  for (const one of matchers()) for (const [name, value] of Object.entries(one)) query.append(name, value);
  try {
    const answer = await fetch(`/alerts/silences/preview?${query}`, { signal: question.signal });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (answer.ok) preview.replaceChildren(...fresh.body.childNodes);
  } catch (error) {
    if (error.name !== "AbortError") preview.textContent = `What it covers is not known: ${told(error)}.`;
  }
}

function another() {
  const line = lines.lastElementChild.cloneNode(true);
  const value = line.querySelector("[name=value]");
  value.value = "";
  value.setAttribute("list", `values-${line.querySelector("[name=name]").value}`);
  lines.append(line);
  line.querySelector("[name=name]").focus();
}

let isBusy = false;

async function attempt(work) {
  if (isBusy) return;
  isBusy = true;
  refused.hidden = true;
  try {
    await work();
    location.assign("/alerts/silences");
  } catch (error) {
    refused.textContent = `Refused: ${told(error)}.`;
    refused.hidden = false;
    refused.scrollIntoView({ block: "nearest" });
    isBusy = false;
  }
}

function make() {
  const { project, duration, comment } = form.elements;
  const body = { project: project.value, matchers: matchers(), duration: duration.value, comment: comment.value };
  return send("POST", "/silences", body);
}

form?.addEventListener("input", ({ target }) => {
  if (target.name === "name") target.closest(".line").querySelector("[name=value]").setAttribute("list", `values-${target.value}`);
  clearTimeout(timer);
  timer = setTimeout(look, PAUSE);
});
form?.addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(make);
});
document.getElementById("more")?.addEventListener("click", another);
lines?.addEventListener("click", (event) => {
  if (!event.target.closest("[data-remove]") || lines.children.length === 1) return;
  event.target.closest(".line").remove();
  look();
});
document.addEventListener("click", (event) => {
  const id = event.target.closest("[data-end]")?.dataset.end;
  if (id) attempt(() => send("DELETE", `/silences/${id}`));
});
