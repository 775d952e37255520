// Inputs for secrets: shown on request, and made where the other side takes any.

document.addEventListener("click", (event) => {
  const show = event.target.closest("[data-show]");
  if (show) toggle(show);
  const make = event.target.closest("[data-generate]");
  if (make) fill(document.getElementById(make.dataset.generate));
});

// What was shown is hidden again when the form is empty again.
document.addEventListener("reset", ({ target }) => {
  for (const button of target.querySelectorAll('[data-show][aria-pressed="true"]')) toggle(button);
});

function toggle(button) {
  const input = document.getElementById(button.dataset.show);
  const hidden = input.type === "password";
  input.type = hidden ? "text" : "password";
  button.setAttribute("aria-pressed", String(hidden));
}

/** 32 random bytes, as Standard Webhooks has them; shown, as the listener needs them, too. */
function fill(input) {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  input.value = `whsec_${btoa(String.fromCharCode(...bytes))}`;
  if (input.type === "password") toggle(document.querySelector(`[data-show="${input.id}"]`));
  input.focus();
  input.select();
}
