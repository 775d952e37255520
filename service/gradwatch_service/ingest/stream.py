"""One writer's stream: how far it is stored and judged, and the detector state it has reached."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from gradwatch_service.detect.baseline import BLOCK
from gradwatch_service.diagnose.calm import Calm
from gradwatch_service.domain import Frame, Guard, LayerTable
from gradwatch_service.ingest.judge import Birth, Judged, Part, State, Task
from gradwatch_service.ingest.sequence import START, Position
from gradwatch_service.store.detector_states import Checkpoint
from gradwatch_service.store.writers import guard_text

# So much may wait in a stream, in reports and in bytes; then who pushes waits for the judge.
MOST_WAITING, MOST_BYTES_WAITING = 256, 8 * 2**20
# What a stream takes in memory beside its state, and how much of a state is left when packed.
BYTES_A_STREAM, PACKED = 4_000, 0.3
# A checkpoint is taken after so many reports: no more are judged again after a restart.
REPORTS_A_CHECKPOINT = 1_024


@dataclass(frozen=True, slots=True)
class Unjudged:
    """A stored frame that is not judged yet, or what is left of it; its first report's place."""

    seq: int
    place: int
    frame: Frame
    layers: LayerTable
    is_whole: bool = True

    def cut(self, reports: int) -> tuple[Unjudged, Unjudged | None]:
        """The first reports of it, and the rest."""
        if reports >= len(self.frame):
            return self, None
        first, rest = self.frame.rows(0, reports), self.frame.rows(reports, len(self.frame))
        return (
            replace(self, frame=first, is_whole=False),
            replace(self, place=self.place + reports, frame=rest, is_whole=False),
        )


@dataclass
class Stream:
    """A working copy within a group; its fields are values, so a shallow copy is a snapshot.

    ``epoch`` is when the run started: a namesake of a deleted run is another run.
    ``version`` is that of the stored row, 0 before there is one. ``first_hash`` names the layer
    table the fold began with, ``layers`` is the newest it has met. ``newest`` is the seq and
    digest of the frame stored last. ``reports``: those that have their place in the fold; the first
    ``judged`` of them are judged, the others ``unjudged``. ``calm``: what reports may wait;
    ``guard``: that of the state, which has taken ``ordinal`` reports and about ``state_bytes``;
    ``news``: causes that changed and no push was told of; ``saved``: how far the newest checkpoint
    is.
    """

    writer: str
    epoch: dt.datetime
    attempt: int
    first_hash: str
    layers: LayerTable
    state: State | Birth
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
    ordinal: int = 0
    state_bytes: int = 0
    bytes_waiting: int = 0
    saved: int = 0

    def copy(self) -> Stream:
        """A working copy."""
        twin = object.__new__(Stream)
        vars(twin).update(vars(self))
        return twin

    @property
    def waiting(self) -> int:
        """How many reports are not judged yet."""
        return self.reports - self.judged

    def due(self, ahead: int = 0) -> int:
        """How many reports fill blocks of 16, beyond those ``ahead`` that are being judged."""
        first = self.ordinal + ahead
        after = self.ordinal + self.waiting
        return max(after // BLOCK * BLOCK - first, 0)

    @property
    def weight(self) -> int:
        """About how many bytes of memory it takes, the judge's included: its state is packed."""
        return BYTES_A_STREAM + int(PACKED * self.state_bytes) + self.bytes_waiting

    def may_wait(self, frame: Frame) -> bool:
        """Whether the reports of a frame that comes next need not be judged at once."""
        if self.waiting >= MOST_WAITING or self.bytes_waiting >= MOST_BYTES_WAITING:
            return False
        return self.calm is not None and self.calm.holds(frame)

    def append(self, seq: int, frame: Frame, layers: LayerTable) -> None:
        """Give a frame its place in the fold, behind all others."""
        if frame.layers_hash:
            self.layers = layers
        last = Unjudged(seq, self.reports, frame, self.layers)
        self.unjudged = (*self.unjudged, last)
        self.reports += len(frame)
        self.bytes_waiting += frame.layers_bytes

    def task(self, reports: int, ahead: int = 0, base: State | None = None) -> Task:
        """Judge so many more, and the frames of none among and right after them.

        Beyond those ``ahead`` that are being judged, to which ``base`` leads.
        """
        waiting = _split(self.unjudged, ahead)[1] if ahead else self.unjudged
        parts = Part.joined((one.frame, one.layers) for one in _split(waiting, reports)[0])
        age = self.judged + ahead - self.saved
        pack = age // REPORTS_A_CHECKPOINT != (age + reports) // REPORTS_A_CHECKPOINT
        return Task(self.state if base is None else base, parts, pack)

    def take(self, reports: int, judged: Judged) -> tuple[Unjudged, ...]:
        """Count what such a task held as judged, with this result; returns it."""
        taken, self.unjudged = _split(self.unjudged, reports)
        self.bytes_waiting -= sum(one.frame.layers_bytes for one in taken)
        self.judged += reports
        self.move_to(judged)
        return taken

    def tell(self) -> frozenset[str]:
        """What pushes are to be told: the causes that have changed since the last."""
        told, self.news = self.news, frozenset()
        return told

    def move_to(self, judged: Judged) -> None:
        """Take over the state after some more reports were judged."""
        self.state, self.ordinal = judged.state, judged.ordinal
        self.guard, self.calm, self.state_bytes = judged.guard, judged.calm, judged.size

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
            "guard": self.guard.as_json(),
        }

    def next_row(self, run_id: uuid.UUID) -> dict[str, object]:
        """The columns that move, from the version that was ``seen``."""
        return {
            "run": run_id,
            "stream": self.writer,
            "seen": self.version,
            "version": self.version + 1,
            **self._moving(),
            "guard": guard_text(self.guard),
        }

    def checkpoint(self, run_id: uuid.UUID, packed: bytes) -> Checkpoint:
        """The state it has reached, to be stored."""
        self.saved = self.judged
        seq = self.unjudged[0].seq if self.unjudged else self.position.next_seq
        return Checkpoint(run_id, self.writer, self.judged, seq, packed)

    def _moving(self) -> dict[str, object]:
        return {
            "next_seq": self.position.next_seq,
            "lost": self.position.lost,
            "ordinal": self.judged,
            "reports": self.reports,
            "transitions": self.transitions,
            "first_step": self.first_step,
            "last_step": self.last_step,
        }


def _split(
    waiting: Sequence[Unjudged], reports: int
) -> tuple[tuple[Unjudged, ...], tuple[Unjudged, ...]]:
    """The first so many reports, with the frames of none among and right after them; the rest."""
    taken: list[Unjudged] = []
    for place, one in enumerate(waiting):
        if not reports and len(one.frame):
            return tuple(taken), tuple(waiting[place:])
        part, rest = one.cut(reports)
        taken.append(part)
        reports -= len(part.frame)
        if rest is not None:
            return tuple(taken), (rest, *waiting[place + 1 :])
    return tuple(taken), ()
