"""Remembers the clipping limit a job reports, and notices when it is gone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradwatch_service.domain import FloatArray, IntArray

STEADY = 16


@dataclass(frozen=True, slots=True)
class Limits:
    """``last``: the newest report with a limit, ``run``: how many on end had one up to there."""

    last: int = -1
    run: int = 0

    def advance(self, clip_norm: FloatArray, ordinal: IntArray) -> Limits:
        """Take rows into memory; ``clip_norm`` float64[k] with NaN where it was not reported."""
        last, run = self.last, self.run
        for at in ordinal[np.flatnonzero(clip_norm > 0)].tolist():
            run = run + 1 if at == last + 1 else 1
            last = at
        return self if last == self.last else Limits(last, run)

    def lifted(self, ordinal: int) -> int | None:
        """The report since which there is no limit any more, after 16 on end with one."""
        return self.last + 1 if self.run >= STEADY and ordinal > self.last else None
