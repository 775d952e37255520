// The service could not answer just now: ask again by ourselves, a few times more and more seldom.

const TRIES = "gradwatch-tries";
const FORGOTTEN_MS = 120_000;
const SECONDS_MOST = 60;
const said = document.getElementById("again");

function triesBefore() {
  const { count, at } = JSON.parse(sessionStorage.getItem(TRIES) ?? "{}");
  return at > Date.now() - FORGOTTEN_MS ? count : 0;
}

const tries = triesBefore();
let left = Math.ceil(Math.min(Number(said.dataset.seconds) * 2 ** tries, SECONDS_MOST));
const words = document.createElement("span");
said.append(" ", words);

const timer = setInterval(() => {
  left -= 1;
  words.textContent = left > 0 ? `(By itself in ${left} s.)` : "";
  if (left > 0) return;
  clearInterval(timer);
  sessionStorage.setItem(TRIES, JSON.stringify({ count: tries + 1, at: Date.now() }));
  location.reload();
}, 1_000);
