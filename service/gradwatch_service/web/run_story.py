"""What the page of a run says in words: the verdict, what the job did, what became of wishes."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gradwatch_service.diagnose.acts import ENDED_BY
from gradwatch_service.store.advice import OPEN_STATES, severity_of
from gradwatch_service.store.handed import Wish
from gradwatch_service.web.progress import total_steps
from gradwatch_service.web.words import moment, step

Json = Mapping[str, Any]
Level = Literal["ok", "info", "warning", "error", "critical", "quiet"]

MOST_ROUNDS = 32  # of one action against one alert
PERSON = 4  # the class of what only a person can do
WORDS = {
    "applied": "done, on trial",
    "verified": "it helped",
    "failed": "it did not help",
    "undone": "taken back",
    "declined": "declined",
}
_AT_STEP = re.compile(r" \(step [\d,]+\)$")
_ENDS = {"finished": "Finished", "failed": "Failed"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One plain sentence, how bad it is, and what else is to be said in one more."""

    level: Level
    sentence: str
    more: str = ""
    layer: str = ""


@dataclass(frozen=True, slots=True)
class Deed:
    """An action of the job, from the advice on; ``words``: each status with its step and text."""

    id: str
    action: str
    title: str
    words: tuple[tuple[int | None, str, str], ...]

    @property
    def status(self) -> str:
        """What is known last."""
        return self.words[-1][1]

    @property
    def outcome(self) -> str:
        """The same in words; a check that was made outlives the taking back after it."""
        known = {status for _, status, _ in self.words}
        if self.status == "undone" and "failed" in known:
            return "it did not help and was taken back"
        return WORDS.get(self.status, self.status)


@dataclass(frozen=True, slots=True)
class Told:
    """An alert with what the job did about it."""

    alert: Json
    deeds: tuple[Deed, ...]

    @property
    def is_open(self) -> bool:
        """Whether it is not over."""
        return self.alert["state"] in OPEN_STATES or self.alert["state"] == "pending"


def ranked(alerts: Iterable[Json]) -> list[Json]:
    """What is open first, then the gravest, the surest and the newest."""
    return sorted(
        alerts,
        key=lambda one: (
            one["state"] == "resolved",
            one["state"] == "pending",
            -severity_of(one),
            -one["confidence"],
            -one["opened_step"],
        ),
    )


def verdict(run: Json, alerts: Sequence[Json]) -> Verdict:
    """How the run is, from its gravest open alert; ``alerts`` as ``ranked`` has them."""
    firing = [one for one in alerts if one["state"] in OPEN_STATES]
    if firing:
        return _trouble(run, firing)
    if run["state"] == "stale":
        return Verdict("warning", f"Silent since {_clock(run['last_seen_at'])}", _last_report(run))
    if run["last_step"] is None:
        return Verdict("quiet", "Nothing reported yet", "It is waiting for the job's first step.")
    if run["state"] in _ENDS:
        return _ended(run, alerts)
    return Verdict("ok", f"Healthy at step {step(run['last_step'])}", _calm(alerts))


def deeds(events: Iterable[Json], titles: Mapping[str, str]) -> list[Deed]:
    """What the job did with advice, by the id of the advice, in the order in which it began."""
    found: dict[str, list[Json]] = {}
    for event in events:
        if event["kind"] == "advice" and event.get("action") and event.get("status"):
            found.setdefault(str(event.get("id")), []).append(event)
    return [
        Deed(
            id=key,
            action=str(said[0]["action"]),
            title=titles.get(key) or str(said[0].get("text") or said[0]["action"]),
            words=tuple(
                (one["step"], str(one["status"]), str(one.get("text") or "")) for one in said
            ),
        )
        for key, said in found.items()
    ]


def told(alerts: Iterable[Json], done: Iterable[Deed]) -> tuple[list[Told], list[Deed]]:
    """Each alert with what was done about it, and what was done of the job's own accord."""
    left = {deed.id: deed for deed in done}
    stories = []
    for alert in alerts:
        ids = {name: _advice_ids(alert, name) for name in {deed.action for deed in left.values()}}
        own = [left.pop(key) for key in [*left] if key in ids[left[key].action]]
        stories.append(Told(alert, tuple(own)))
    return stories, [*left.values()]


def progress(run: Json) -> float | None:
    """How much of the steps it was to make is made; None if its config does not say."""
    total = total_steps(run["config"])
    return None if total is None else min(1.0, (run["last_step"] or 0) / total)


def handing(item: Json, run: Json, wish: Wish | None, *, may: bool) -> str:
    """Why advice cannot be handed to the job now; "" if it can."""
    if wish is not None and wish.is_open:
        return f"handed to the job by {wish.by}: it answers with one of its next reports"
    if item["class"] >= PERSON:
        return "only a person can do this"
    if run["state"] in _ENDS:
        return "the run has ended: there is no job to hand it to"
    if item["expires_step"] < (run["last_step"] or 0):
        return f"its numbers were good until step {step(item['expires_step'])}"
    return "" if may else "your key may only read: handing needs the scope admin"


def promise(item: Json, run: Json) -> str:
    """What the job will do with advice that is handed to it, as far as is known."""
    level, needed = run["config"].get("autopilot"), item["class"]
    if not isinstance(level, int) or isinstance(level, bool):
        return f"The job does it once, if it watches with autopilot={needed} or more."
    if level < needed:
        return f"It will decline: it runs with autopilot={level}, this needs {needed}."
    return f"It does it once: it runs with autopilot={level}."


def differing(one: Json, other: Json) -> list[tuple[str, Any, Any]]:
    """The values of two configs that are not the same, by their dotted names."""
    first, second = flat(one["config"]), flat(other["config"])
    names = sorted(first.keys() | second.keys())
    return [
        (name, first.get(name), second.get(name))
        for name in names
        if (name in first) != (name in second) or first.get(name) != second.get(name)
    ]


def flat(config: Json, prefix: str = "") -> dict[str, Any]:
    """A nested config with dotted names."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def was_open_at_the_end(alert: Json) -> bool:
    """Whether only the end of the run ended it."""
    return bool(alert["resolved_by"] == ENDED_BY and alert["actionable"])


def headline(alert: Json) -> str:
    """The title without its step."""
    return _AT_STEP.sub("", alert["title"])


def _trouble(run: Json, firing: Sequence[Json]) -> Verdict:
    lead = firing[0]
    first = lead["layers"][0] if lead["layers"] else ""
    sentence = f"{headline(lead)} since step {step(lead['opened_step'])}"
    layer = first if first and first not in sentence else ""
    others = len(firing) - 1
    more = [f"{others} more open {'alert' if others == 1 else 'alerts'} below."] if others else []
    if run["state"] in _ENDS:
        more.insert(0, f"The run has {run['state']} meanwhile.")
    elif run["state"] == "stale":
        more.insert(0, f"Silent since {_clock(run['last_seen_at'])}.")
    return Verdict(lead["severity"], sentence, " ".join(more), layer)


def _ended(run: Json, alerts: Sequence[Json]) -> Verdict:
    sentence = f"{_ENDS[run['state']]} at step {step(run['last_step'])}"
    reason = f"Reason: {run['finish_reason']}. " if run["finish_reason"] else ""
    if run["health"] == "ok":
        return Verdict("ok", f"{sentence}, healthy", reason + _calm(alerts))
    level: Level = "critical" if run["state"] == "failed" else "warning"
    left = [one for one in alerts if was_open_at_the_end(one)]
    names = [f"{headline(one)}, since step {step(one['opened_step'])}" for one in left]
    open_then = f"Still open then: {'; '.join(names)}." if names else "Its alerts are below."
    return Verdict(level, f"{sentence}, with trouble left", reason + open_then)


def _calm(alerts: Sequence[Json]) -> str:
    if not alerts:
        return "Nothing unusual was seen: no alert so far."
    pending = [one for one in alerts if one["state"] == "pending"]
    if pending:
        return f"One thing is being watched: {headline(pending[0])}. It must last to be an alert."
    count = len(alerts)
    return f"{count} earlier {'alert is' if count == 1 else 'alerts are'} over."


def _last_report(run: Json) -> str:
    if run["last_step"] is None:
        return "It never reported a step. Is the job still running?"
    return f"Its last report was of step {step(run['last_step'])}. Is the job still running?"


def _clock(value: dt.datetime | str) -> str:
    return moment(value)[:16].replace("T", " ") + " UTC"


def _advice_ids(alert: Json, action: str) -> set[str]:
    """The ids that advice to do this has in its rounds: see ``domain.Advice``."""
    alert_id = uuid.UUID(str(alert["id"]))
    names = [action, *(f"{action}:{number}" for number in range(1, MOST_ROUNDS + 1))]
    return {str(uuid.uuid5(alert_id, name)) for name in names}
