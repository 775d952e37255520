// Where these pages are, and parts of them as the server renders them now.

export const project = decodeURIComponent(location.pathname.split("/")[2]);
export const base = `/projects/${encodeURIComponent(project)}`;

/** Elements of this page by id, fetched anew; those that are gone are null. */
async function fresh(...ids) {
  const answer = await fetch(location.href, { headers: { accept: "text/html" } });
  if (answer.redirected || !answer.ok) location.reload(); // signed out meanwhile, or gone
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  return ids.map((id) => page.getElementById(id));
}

/** Bring one element up to date. */
export async function renew(id) {
  const [found] = await fresh(id);
  const old = document.getElementById(id);
  if (found && old) old.replaceWith(found);
  else old?.remove();
  return found;
}

/** Put an element that is new into a list of its kind. */
export async function adopt(id, list, first = false) {
  const [found] = await fresh(id);
  const into = document.getElementById(list);
  if (!found) return null; // gone already
  into.querySelector(".empty")?.remove();
  if (first) into.prepend(found);
  else into.append(found);
  return found;
}
