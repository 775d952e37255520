// Reports a training from Node 18 or newer as JSON frames: exactly once, whatever the network does.
import { randomUUID } from "node:crypto";

const api = `${process.env.GRADWATCH_URL ?? "http://127.0.0.1:8321"}/api/v1`;
const key = process.env.GRADWATCH_API_KEY;
const TRIES = 8;

/** Sends the same bytes until they are answered for good; returns the answer's body. */
async function send(method, path, body) {
  const headers = { "content-type": "application/json", ...(key && { authorization: `Bearer ${key}` }) };
  for (let tries = 1; ; tries++) {
    let wait = Math.random() * Math.min(60, 0.5 * 2 ** tries);
    try {
      const answer = await fetch(api + path, { method, headers, body, redirect: "error" });
      if (answer.ok) return await answer.json();
      const problem = await answer.json();
      if (!problem.retryable || tries === TRIES) throw new Error(`${answer.status} ${problem.detail}`);
      wait = Math.max(wait, Number(answer.headers.get("retry-after") ?? 0));
    } catch (error) {
      if (!(error instanceof TypeError) || tries === TRIES) throw error; // TypeError: no answer came
    }
    await new Promise((resume) => setTimeout(resume, 1000 * wait));
  }
}

/** JSON has no NaN: the protocol writes words; null means not measured. */
const words = (value) => (Number.isFinite(value) ? value : String(value));

const id = randomUUID();
const layers = [
  { name: "embedding", kind: "embedding", depth: 0 },
  { name: "rnn", kind: "recurrent", depth: 1 },
];
const introduction = { id, project: "examples", name: "node", launch_id: id, layers };
const run = await send("POST", "/runs", JSON.stringify(introduction));

const writer = `node-${randomUUID().slice(0, 8)}`; // a name no other process has
let seq = 0;
let waiting = [];

/** Sends the waiting steps as one frame. */
async function flush() {
  const frame = {
    steps: waiting.map((one) => one.step),
    time: waiting.map((one) => one.time),
    scalars: { loss: waiting.map((one) => words(one.loss)) },
    layers_hash: run.layers_hash,
    layers: { grad_norm: waiting.map((one) => one.norms.map(words)) },
  };
  waiting = [];
  return await send("PUT", `/runs/${id}/writers/${writer}/frames/${seq++}`, JSON.stringify(frame));
}

let health = "ok";
for (let step = 0; step < 80; step++) {
  const growth = step > 50 ? 2 ** (step - 50) : 1;
  const noise = 1 + 0.05 * Math.sin(7 * step);
  const norms = [1 / noise, noise * growth];
  waiting.push({ step, time: Date.now() / 1000, loss: 2 * noise * Math.sqrt(growth), norms });
  if (waiting.length === 10) {
    const receipt = await flush();
    for (const alert of receipt.alerts) console.error(`${alert.severity}: ${alert.title}`);
    health = receipt.health;
  }
}
await send("POST", `/runs/${id}/finish`, JSON.stringify({ state: health === "ok" ? "finished" : "failed" }));
console.log(id);
