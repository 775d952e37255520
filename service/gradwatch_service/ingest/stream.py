"""One writer's stream: how far it is stored and judged, and the detector state it has reached."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from gradwatch_service.detect.baseline import BLOCK
from gradwatch_service.diagnose.calm import Calm, calm
from gradwatch_service.diagnose.fold import WriterState
from gradwatch_service.domain import Frame, Guard, LayerTable
from gradwatch_service.ingest.sequence import START, Position


@dataclass(frozen=True, slots=True)
class Unjudged:
    """A stored frame that is not judged yet, or what is left of it; its first report's place."""

    seq: int
    place: int
    frame: Frame

    def cut(self, reports: int) -> tuple[Frame, Unjudged | None]:
        """The first reports of it, and the rest."""
        if reports >= len(self.frame):
            return self.frame, None
        rest = self.frame.rows(reports, len(self.frame))
        return self.frame.rows(0, reports), Unjudged(self.seq, self.place + reports, rest)


@dataclass(slots=True)
class Stream:
    """A working copy within a group; its fields are values, so a shallow copy is a snapshot.

    ``epoch`` is when the run started: a namesake of a deleted run is another run.
    ``version`` is that of the stored row, 0 before there is one. ``first_hash`` names the layer
    table the fold began with, ``layers`` is the newest it has met. ``newest`` is the seq and
    digest of the frame stored last. ``reports``: those that have their place in the fold; the first
    ``judged`` of them are judged, the others ``unjudged``. ``calm``: what reports may wait;
    ``guard``: that of the state; ``news``: causes that changed without a push to say it to.
    """

    writer: str
    epoch: dt.datetime
    attempt: int
    first_hash: str
    layers: LayerTable
    state: WriterState
    version: int = 0
    position: Position = START
    transitions: int = 0
    first_step: int | None = None
    last_step: int | None = None
    newest: tuple[int, bytes] = (-1, b"")
    reports: int = 0
    judged: int = 0
    unjudged: tuple[Unjudged, ...] = ()
    calm: Calm | None = None
    news: frozenset[str] = frozenset()
    guard: Guard = field(default_factory=Guard)

    @property
    def due(self) -> int:
        """How many of the unjudged reports fill blocks of 16."""
        ordinal = self.state.ordinal
        after = ordinal + self.reports - self.judged
        return max(after // BLOCK * BLOCK - ordinal, 0)

    def may_wait(self, frame: Frame) -> bool:
        """Whether the reports of a frame that comes next need not be judged at once."""
        return self.calm is not None and self.calm.holds(frame)

    def append(self, seq: int, frame: Frame) -> None:
        """Give a frame its place in the fold, behind all others."""
        self.unjudged = (*self.unjudged, Unjudged(seq, self.reports, frame))
        self.reports += len(frame)

    def tell(self, causes: Collection[str]) -> frozenset[str]:
        """What a push is to be told: the causes it changed, and what has changed since the last."""
        told, self.news = self.news.union(causes), frozenset()
        return told

    def move_to(self, state: WriterState) -> None:
        """Take over the state after some more reports were judged."""
        self.state, self.guard, self.calm = state, state.guard, calm(state)

    def take(self, reports: int) -> Iterator[tuple[Unjudged, Frame]]:
        """Count so many more reports, and frames of none, as judged: each frame, what of it."""
        while self.unjudged and (reports or not len(self.unjudged[0].frame)):
            first, *others = self.unjudged
            frame, rest = first.cut(reports)
            self.unjudged = (rest, *others) if rest else tuple(others)
            self.judged += len(frame)
            reports -= len(frame)
            yield first, frame

    def note_steps(self, frame: Frame) -> None:
        """Widen the range of steps by a stored frame's."""
        if len(frame):
            low, high = int(frame.steps.min()), int(frame.steps.max())
            self.first_step = low if self.first_step is None else min(self.first_step, low)
            self.last_step = high if self.last_step is None else max(self.last_step, high)

    def first_row(self, run_id: uuid.UUID) -> dict[str, object]:
        """The row at first contact."""
        return {
            "run_id": run_id,
            "writer": self.writer,
            "attempt": self.attempt,
            "layers_hash": self.first_hash,
            "version": 1,
            **self._moving(),
        }

    def next_row(self, run_id: uuid.UUID) -> dict[str, object]:
        """The columns that move, from the version that was ``seen``."""
        return {
            "run": run_id,
            "stream": self.writer,
            "seen": self.version,
            "version": self.version + 1,
            **self._moving(),
        }

    def _moving(self) -> dict[str, object]:
        return {
            "next_seq": self.position.next_seq,
            "lost": self.position.lost,
            "ordinal": self.judged,
            "reports": self.reports,
            "transitions": self.transitions,
            "first_step": self.first_step,
            "last_step": self.last_step,
            "guard": self.guard.as_json(),
        }
