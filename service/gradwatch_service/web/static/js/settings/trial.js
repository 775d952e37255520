// A back-test that follows the hand: one at a time, and of what waits meanwhile only the newest.
import { send } from "../api.js";
import { problemOf } from "../forms.js";
import { base } from "./place.js";

const PAUSE_MS = 150;

/** `tell` hears {busy}, {answer} or {problem}; the returned function starts a trial of settings. */
export function trials(tell) {
  let pause = 0;
  let next = null;
  let isUnderWay = false;

  async function run() {
    if (isUnderWay) return; // the service goes on with what it has begun
    isUnderWay = true;
    while (next) {
      const { settings, runs } = next;
      next = null;
      tell({ busy: runs });
      const outcome = await tried(settings, runs);
      if (!next) tell(outcome);
    }
    isUnderWay = false;
  }

  return (settings, runs) => {
    clearTimeout(pause);
    pause = setTimeout(() => {
      next = { settings, runs };
      run();
    }, PAUSE_MS);
  };
}

async function tried(settings, runs) {
  try {
    return { answer: await send("POST", `${base}/rules/backtest`, { settings, runs }) };
  } catch (error) {
    return { problem: problemOf(error) };
  }
}
