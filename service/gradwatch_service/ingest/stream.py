"""One writer's stream: how far it is stored and folded, and the detector state it has reached."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass

from gradwatch_service.diagnose.fold import WriterState
from gradwatch_service.domain import Frame, LayerTable
from gradwatch_service.ingest.sequence import START, Position


@dataclass(slots=True)
class Stream:
    """A working copy within a group; its fields are values, so a shallow copy is a snapshot.

    ``epoch`` is when the run started: a namesake of a deleted run is another run.
    ``version`` is that of the stored row, 0 before there is one. ``first_hash`` names the layer
    table the fold began with, ``layers`` is the newest it has met. ``newest`` is the seq and
    digest of the frame stored last.
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
            "ordinal": self.state.ordinal,
            "transitions": self.transitions,
            "first_step": self.first_step,
            "last_step": self.last_step,
            "guard": self.state.guard.as_json(),
        }
