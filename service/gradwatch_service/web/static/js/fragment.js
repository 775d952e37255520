// Parts of a page, rendered by the server and fetched again.

/** Fetch a fragment; `query` is a URLSearchParams. Returns a DocumentFragment. */
export async function fragment(path, query, signal = undefined) {
  const answer = await fetch(`${path}?${query}`, { signal });
  if (answer.status === 401) location.reload(); // to sign in again
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  const template = document.createElement("template");
  template.innerHTML = await answer.text();
  return template.content;
}
