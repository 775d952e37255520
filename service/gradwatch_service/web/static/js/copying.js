// Copies code; where the browser allows no clipboard (plain HTTP from afar), it is selected.

/** Copy what the button names, and say so. */
export async function copyFrom(button, say) {
  const source = document.getElementById(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent);
    say("Copied.");
  } catch {
    getSelection().selectAllChildren(source);
    say("Selected: copy it with Ctrl+C.");
  }
}
