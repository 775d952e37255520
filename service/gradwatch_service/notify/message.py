"""What a channel is told about a run: one message for all its alerts that are news."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from typing import Literal, TypeAlias

from gradwatch_service.domain import Severity

MessageKind: TypeAlias = Literal["firing", "resolved", "digest", "test"]


@dataclass(frozen=True, slots=True)
class Subject:
    """One alert, as far as a message speaks of it; ``remedies``: what to do, the best first.

    ``is_news``: whether the channel has not been told of this state before.
    """

    alert_id: uuid.UUID
    run_id: uuid.UUID
    run_name: str
    cause: str
    rule: str
    severity: Severity
    is_firing: bool
    is_news: bool
    title: str
    explanation: str
    layers: tuple[str, ...]
    opened_step: int
    last_step: int
    regressed: bool
    confidence: float
    remedies: tuple[str, ...]
    opened_at: dt.datetime
    ended_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """``delivery_id`` is stable over retries; ``link`` leads to the run, or to the board.

    ``subjects`` begin with the most urgent; ``repeats``: the same was said before, and still holds.
    ``loss``, ``log2_grad_norm`` and ``steps`` are the newest of the run, for a picture; NaN: not
    measured.
    """

    delivery_id: uuid.UUID
    kind: MessageKind
    project: str
    run_id: uuid.UUID | None
    run_name: str
    link: str
    subjects: tuple[Subject, ...]
    at: dt.datetime
    repeats: bool = False
    steps: tuple[int, ...] = ()
    loss: tuple[float, ...] = ()
    log2_grad_norm: tuple[float, ...] = ()

    @property
    def severity(self) -> Severity:
        """The worst of what is firing; of a resolution, of what has ended."""
        firing = [one for one in self.subjects if one.is_firing] or self.subjects
        return max((one.severity for one in firing), default=Severity.INFO)
