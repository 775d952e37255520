"""Which stretches of a run were in trouble, and so which checkpoints are worth going back to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

HEALTHY_FOR = 64
MOST_TROUBLES = 64


@dataclass(frozen=True, slots=True)
class Trouble:
    """Steps in which an alert of severity warning or worse lived; ``until`` None: it goes on."""

    since: int
    until: int | None = None

    def reaches(self, first: int, last: int) -> bool:
        """Whether it touches the steps ``first`` to ``last``."""
        return self.since <= last and (self.until is None or self.until >= first)


def noted(troubles: tuple[Trouble, ...], onset: int | None, step: int) -> tuple[Trouble, ...]:
    """The troubles at ``step``; ``onset``: where the earliest live alert began, None: no alert."""
    goes_on = bool(troubles) and troubles[-1].until is None
    if onset is None:
        return (*troubles[:-1], replace(troubles[-1], until=step)) if goes_on else troubles
    if not goes_on:
        return (*troubles, Trouble(onset))[-MOST_TROUBLES:]
    newest = troubles[-1]
    return troubles if newest.since <= onset else (*troubles[:-1], replace(newest, since=onset))


def healthy(
    checkpoints: Iterable[int], troubles: Iterable[Trouble], increment: int, fresh: int | None
) -> tuple[int, ...]:
    """The checkpoints before which nothing was wrong for 64 reports, ``increment`` steps apart.

    Weights at the step ``fresh`` are those the run began with: nothing has spoilt them yet.
    """
    known, margin = tuple(troubles), HEALTHY_FOR * increment
    return tuple(
        step
        for step in checkpoints
        if step == fresh or not any(trouble.reaches(step - margin, step) for trouble in known)
    )
