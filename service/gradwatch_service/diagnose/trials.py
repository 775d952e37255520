"""What became of the advice: actions a client applied, and whether they helped, as it reported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from gradwatch_service.domain import JsonValue

CHANGES = frozenset({"applied", "undone"})
FAILED = "failed"
MOST_ACTIONS = 32


@dataclass(frozen=True, slots=True)
class Word:
    """One ``advice`` event of the job: what it did with an action, or how the action did."""

    action: str
    status: str
    step: int


@dataclass(frozen=True, slots=True)
class Trial:
    """An action so far: the newest word on it and when, when it last changed the run.

    ``rounds``: how often it failed; after that it is offered as something new.
    """

    status: str
    step: int
    changed_step: int | None = None
    rounds: int = 0

    @property
    def failed(self) -> bool:
        """Whether it was tried last without success."""
        return self.status == FAILED


Trials = Mapping[str, Trial]
UNTRIED = Trial("", -1)


def read(event: Mapping[str, JsonValue]) -> Word | None:
    """The word of an event; None if it is not about advice or says too little."""
    action, status, step = event.get("action"), event.get("status"), event.get("step")
    if event.get("kind") != "advice" or not isinstance(step, int):
        return None
    return Word(str(action), str(status), step) if action and status else None


def after(trials: Trials, words: Iterable[Word]) -> Trials:
    """The trials once these words have been heard, in the order in which they were said."""
    known = dict(trials)
    for word in words:
        before = known.pop(word.action, UNTRIED)
        known[word.action] = replace(
            before,
            status=word.status,
            step=word.step,
            changed_step=word.step if word.status in CHANGES else before.changed_step,
            rounds=before.rounds + (word.status == FAILED),
        )
    return dict(list(known.items())[-MOST_ACTIONS:])
