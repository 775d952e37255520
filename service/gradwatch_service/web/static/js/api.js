// The public API, as the pages use it.

const PREFIX = "/api/v1";

/** An answer that is no success; `problem` is its RFC 9457 body. */
export class Refused extends Error {
  constructor(problem) {
    super(problem.detail || problem.title);
    this.problem = problem;
  }
}

async function checked(answer) {
  if (answer.ok) return answer;
  if (answer.status === 401 && location.pathname !== "/signin") {
    location.assign(`/signin?next=${encodeURIComponent(location.pathname + location.search)}`);
  }
  const odd = { title: `The service answered ${answer.status}` }; // or a proxy did
  throw new Refused(await answer.json().catch(() => odd));
}

/** Read in any form; `query` is an object whose undefined members are left out, and lists repeated. */
export async function read(path, query = {}, signal = undefined, headers = {}) {
  const given = Object.entries(query).flatMap(([name, value]) => [value].flat().map((one) => [name, one]));
  const wanted = given.filter(([, value]) => value !== undefined && value !== null);
  const search = new URLSearchParams(wanted);
  return checked(await fetch(`${PREFIX}${path}?${search}`, { signal, headers }));
}

/** Read JSON. */
export async function get(path, query = {}, signal = undefined) {
  return (await read(path, query, signal)).json();
}

/** Change something; returns the JSON of the answer, or null if it has none. */
export async function send(method, path, body = undefined) {
  const options = { method };
  if (body !== undefined) {
    options.headers = { "content-type": "application/json" };
    options.body = JSON.stringify(body);
  }
  const answer = await checked(await fetch(PREFIX + path, options));
  return answer.status === 204 ? null : answer.json();
}
