"""The order of one writer's frames: what may be folded now, what waits, what is given up."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass

# So many frames beyond a gap, and the gap is given up.
PATIENCE = 64


@dataclass(frozen=True, slots=True)
class Position:
    """How far a stream is folded: all below ``next_seq``; ``waiting`` are stored beyond a gap."""

    next_seq: int = 0
    waiting: tuple[int, ...] = ()
    lost: int = 0

    def knows(self, seq: int) -> bool:
        """Whether this frame may have been stored before; otherwise it is certainly new."""
        return seq < self.next_seq or seq in self.waiting

    def arrive(self, seq: int) -> tuple[Position, tuple[int, ...]]:
        """Take in a new frame; returns the frames that are to be folded now, in order."""
        if seq < self.next_seq:  # given up, and here after all: stored, not folded
            return Position(self.next_seq, self.waiting, self.lost - 1), ()
        if seq == self.next_seq and not self.waiting:
            return Position(seq + 1, (), self.lost), (seq,)
        waiting = list(self.waiting)
        insort(waiting, seq)
        first, lost = self.next_seq, self.lost
        if waiting[0] != first and len(waiting) >= PATIENCE:
            first, lost = waiting[0], lost + waiting[0] - first
        ready = _run_from(first, waiting)
        return Position(first + ready, tuple(waiting[ready:]), lost), tuple(waiting[:ready])

    def gaps(self) -> tuple[tuple[int, int], ...]:
        """The ranges that are waited for, inclusive."""
        return tuple(self._gaps())

    def _gaps(self) -> Iterator[tuple[int, int]]:
        expected = self.next_seq
        for seq in self.waiting:
            if seq > expected:
                yield expected, seq - 1
            expected = seq + 1


START = Position()


def _run_from(first: int, waiting: list[int]) -> int:
    """How many of the waiting follow one another from ``first`` on."""
    for count, seq in enumerate(waiting):
        if seq != first + count:
            return count
    return len(waiting)
