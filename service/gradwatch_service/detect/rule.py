"""The contract of a detector: pure ``init`` and ``update``, typed thresholds, state as a value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from gradwatch_service.detect.baseline import BLOCK
from gradwatch_service.detect.view import View
from gradwatch_service.domain import BoolArray, Evidence, IntArray, LayerTable

S = TypeVar("S")
Levels: TypeAlias = NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a rule saw at one row: facts in words and numbers, and the layer columns involved."""

    evidence: tuple[Evidence, ...]
    columns: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Signal:
    """A rule's verdict on the rows of a view.

    ``level`` int8[n]: 0 nothing, else a ``Severity``; None: nothing in any row. ``calm`` bool[n]:
    the clear condition holds. ``describe(row)`` is asked only for rows where an episode opens or
    worsens or is ``noted``. ``known`` bool[n]: rows that measured what the rule judges, None: all;
    the others go on as the one before. ``noted`` bool[n]: rows at which there is more to say about
    an episode that goes on, although it gets no worse.
    """

    level: Levels | None
    calm: BoolArray
    describe: Callable[[int], Sighting]
    known: BoolArray | None = None
    noted: BoolArray | None = None


class Rule(Protocol[S]):
    """One detector: a frozen dataclass whose fields are its thresholds.

    A module in ``detect/rules`` holds one; the file name is the public ``id``. ``clear_after`` calm
    reports in a row end an episode.
    """

    id: ClassVar[str]
    clear_after: ClassVar[int]

    def init(self, layers: LayerTable, /) -> S:
        """The state before the first report."""

    def update(self, state: S, view: View, /) -> tuple[S, Signal]:
        """Judge the rows of ``view``; must depend only on the sequence of rows, not on its cuts."""


def levels(view: View, *graded: tuple[int, BoolArray]) -> Levels:
    """Combine conditions into int8[n]: pairs of severity and rows where it holds; highest wins."""
    level = np.zeros(len(view), dtype=np.int8)
    for severity, holds in graded:
        level[holds & (level < severity)] = severity
    return level


def newest(ordinal: IntArray, holds: BoolArray, before: int) -> int:
    """The ordinal of the last row in which something holds; ``before`` if it does in none."""
    rows = holds.nonzero()[0]
    return int(ordinal[rows[-1]]) if len(rows) else before


def last_row(view: View) -> BoolArray:
    """True on the last row only: where rules that judge whole blocks speak, bool[n]."""
    return np.asarray(np.arange(len(view)) == len(view) - 1)


def throughout(view: View, holds: bool) -> BoolArray:
    """The same in every row, bool[n], read-only."""
    return (_EVERY_ROW if holds else _NO_ROW)[: len(view)]


def quiet(view: View, calm: BoolArray | None = None, known: BoolArray | None = None) -> Signal:
    """The signal of a rule that sees nothing in any of these rows; all calm if not told."""
    return Signal(None, throughout(view, holds=True) if calm is None else calm, _nothing, known)


def _nothing(_row: int) -> Sighting:
    return Sighting(evidence=())


_EVERY_ROW: BoolArray = np.ones(BLOCK, dtype=np.bool_)
_NO_ROW: BoolArray = np.zeros(BLOCK, dtype=np.bool_)
for _rows in (_EVERY_ROW, _NO_ROW):
    _rows.flags.writeable = False


def run_lengths(holds: BoolArray, carried: int, known: BoolArray | None = None) -> IntArray:
    """Length of the run of True that ends at each row, int64[n]; ``carried`` is the run before.

    Rows that are not ``known`` neither lengthen nor break it.
    """
    if not (carried or holds.any()):
        return np.zeros(len(holds), dtype=np.int64)
    counted = np.ones(len(holds), dtype=np.bool_) if known is None else known
    index = np.cumsum(counted)
    broken = np.where(counted & ~holds, index, -carried)
    return np.asarray(index - np.maximum.accumulate(broken))
