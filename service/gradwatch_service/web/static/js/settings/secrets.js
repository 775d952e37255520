// Inputs for secrets: shown on request, and made where the other side takes any.

document.addEventListener("click", (event) => {
  const show = event.target.closest("[data-show]");
  if (show) toggle(show);
  const make = event.target.closest("[data-generate]");
  if (make) fill(document.getElementById(make.dataset.generate));
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
  input.type = "text";
  document.querySelector(`[data-show="${input.id}"]`).setAttribute("aria-pressed", "true");
  input.focus();
  input.select();
}
