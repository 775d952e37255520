// A back-test that follows the hand: waits for a pause, and gives up what is out of date.
import { send } from "../api.js";
import { problemOf } from "../forms.js";
import { base } from "./place.js";

const PAUSE_MS = 150;

/** `tell` hears {busy}, {answer} or {problem}; the returned function starts a trial of settings. */
export function trials(tell) {
  let waiting = 0;
  let going = null;

  async function run(settings, runs) {
    going = new AbortController();
    const { signal } = going;
    tell({ busy: runs });
    try {
      tell({ answer: await send("POST", `${base}/rules/backtest`, { settings, runs }, signal) });
    } catch (error) {
      if (signal.aborted) return;
      tell({ problem: problemOf(error) });
    }
  }

  return (settings, runs) => {
    clearTimeout(waiting);
    going?.abort();
    waiting = setTimeout(run, PAUSE_MS, settings, runs);
  };
}
