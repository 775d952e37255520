"""rank-outlier: the gradient of one rank is lastingly out of line with those of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gradwatch_service.detect.baseline import EMPTY
from gradwatch_service.detect.columns import grown
from gradwatch_service.detect.fixedpoint import Fixed, as_bits, bits, log2_fixed, power
from gradwatch_service.detect.ranks import ALIKE, LOCAL, REPORTED, odd_rank
from gradwatch_service.detect.rule import Sighting, Signal, levels, quiet
from gradwatch_service.detect.tuning import settable
from gradwatch_service.detect.view import View
from gradwatch_service.domain import BoolArray, Evidence, Float32Array, LayerTable, Severity

BLOCK = 16
FAR_REPORTS = 8
_SIGMAS = 6 * 1.4826  # six standard deviations, from a median absolute deviation

Signs = NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Bench:
    """The ranks so far: reports of the open block, and who was out of line in the last one.

    ``open``: int32[R] each, EMPTY where a rank has no number; ``local``: whether they are norms
    from before the reduction; ``away``: int8[R], 1 out of line above, -1 below; ``far``: int8[R],
    in how many more reports a rank was far away than not, at most 8, negative below.
    """

    open: tuple[Fixed, ...]
    local: bool
    away: Signs
    far: Signs

    @property
    def calm(self) -> bool:
        """Whether no rank is out of line."""
        return not (self.away.any() or (np.abs(self.far) >= FAR_REPORTS).any())


@dataclass(frozen=True, slots=True)
class Verdict:
    """Offset of each rank int32[R], the limit, and who is out of line for so many ``reports``."""

    offsets: Fixed
    limit: int
    away: Signs
    reports: int = 2 * BLOCK


@dataclass(frozen=True, slots=True)
class RankOutlier:
    """The median over 16 reports of a rank's log2 norm less the median rank's is too far from 0.

    Too far: at least ``local_bits``, and 6 standard deviations (from the MAD) both of a median of
    16 reports of one rank (MAD/4) and of the ranks among themselves, in two blocks of 16 on end.
    Needs ``ranks`` ranks that report the whole block. Sooner, a rank whose norm from before the
    reduction was ``far_bits`` away in 8 reports more than it was not.

    Judges ``local_grad_norm``, from before the reduction. Where that is not sent it judges
    ``grad_norm`` if all ranks have the same layers. Ranks that differ then may be shards of one
    model, of which one is rightly larger: there the least is ``reported_bits``. Norms that are
    equal, as after a reduction, have no offset. Ends after 32 reports with no rank out of line.

    Source: Gradwatch; limits tried on simulated ranks only (decision 0007).
    """

    id: ClassVar[str] = "rank-outlier"
    clear_after: ClassVar[int] = 32
    local_bits: float = settable(
        0.5, "least distance of a rank from the others, in powers of two", 0.1, 16.0, "bits"
    )
    reported_bits: float = 2.0
    far_bits: float = 2.0
    ranks: int = 4

    def init(self, _layers: LayerTable) -> Bench:
        """Nothing reported yet."""
        nobody = np.zeros(0, np.int8)
        return Bench((), local=False, away=nobody, far=nobody)

    def update(self, state: Bench, view: View) -> tuple[Bench, Signal]:
        """Collect the reports; judge whenever 16 are together."""
        reported, local = view.stat(REPORTED), view.stat(LOCAL)
        if reported is None and local is None:
            return state, quiet(view)
        rows, from_local = self._rows(view, reported, local)
        known = np.asarray((rows != EMPTY).any(axis=1))
        calm = np.ones(len(view), dtype=np.bool_)
        verdicts: dict[int, Verdict] = {}
        for row in range(len(view)):
            if known[row]:
                state, verdict = self._take(state, rows[row], local=bool(from_local[row]))
                if verdict is not None:
                    verdicts[row] = verdict
            calm[row] = state.calm
        holds = np.zeros(len(view), dtype=np.bool_)
        holds[list(verdicts)] = True
        level = levels(view, (Severity.ERROR, holds)) if holds.any() else None
        what = np.where(from_local, "gradient norm before the reduction", "gradient norm")

        def describe(row: int) -> Sighting:
            return _describe(view, row, verdicts[row], str(what[row]))

        return state, Signal(level, calm, describe, known)

    def _rows(
        self, view: View, reported: Float32Array | None, local: Float32Array | None
    ) -> tuple[Fixed, BoolArray]:
        """The norms to judge, int32[n, R], EMPTY where there are none; where they are local."""
        width = (len(view), len(view.layers))
        before = _fixed(local, width)
        after = _fixed(reported, width)
        after[view.scalar(ALIKE) != 1] = EMPTY
        enough = np.asarray((before != EMPTY).sum(axis=1) >= self.ranks)
        rows = np.where(enough[:, None], before, after)
        rows[(rows != EMPTY).sum(axis=1) < self.ranks] = EMPTY
        return rows, enough

    def _take(self, state: Bench, row: Fixed, *, local: bool) -> tuple[Bench, Verdict | None]:
        """One more report, and what is to be said of it."""
        kept = (*(state.open if state.local == local else ()), row)
        far, found = self._far(state.far, row, local=local)
        if len(kept) < BLOCK:
            return Bench(kept, local, state.away, far), found
        block = np.stack([grown(one, len(row), EMPTY) for one in kept])
        offsets, limit = self._judge(block, bits(self.local_bits if local else self.reported_bits))
        out = (offsets != EMPTY) & (np.abs(offsets) >= limit)
        signs = np.where(out, np.sign(offsets), 0).astype(np.int8)
        again = np.where(signs == grown(state.away, len(row), 0), signs, np.int8(0))
        verdict = Verdict(offsets, limit, again)
        return Bench((), local, signs, far), verdict if again.any() else found

    def _far(self, before: Signs, row: Fixed, *, local: bool) -> tuple[Signs, Verdict | None]:
        """How often each rank was far from the median rank, and whose turn it is to be named."""
        before = grown(before, len(row), 0)
        here = np.flatnonzero(row != EMPTY)
        if not local or len(here) < self.ranks:
            return np.zeros_like(before), None
        offsets = np.full(len(row), EMPTY, dtype=np.int32)
        offsets[here] = row[here] - _middle(row[here].astype(np.int64), 0)
        limit = bits(self.far_bits)
        away = (offsets != EMPTY) & (np.abs(offsets) >= limit)
        one = np.where(away, np.sign(offsets), -np.sign(before))
        far = np.clip(before + one, -FAR_REPORTS, FAR_REPORTS).astype(np.int8)
        new = np.where((np.abs(far) == FAR_REPORTS) & (far != before), np.sign(far), 0)
        verdict = Verdict(offsets, limit, new.astype(np.int8), FAR_REPORTS)
        return far, verdict if new.any() else None

    def _judge(self, block: Fixed, least: int) -> tuple[Fixed, int]:
        """Offset of each rank that reported the whole block, int32[R] (else EMPTY); the limit."""
        offsets = np.full(block.shape[1], EMPTY, dtype=np.int32)
        whole = np.flatnonzero((block != EMPTY).all(axis=0))
        if len(whole) < self.ranks:
            return offsets, least
        values = block[:, whole].astype(np.int64)
        apart = values - _middle(values, 1)[:, None]
        own = _middle(apart, 0)
        one_rank = _SIGMAS * float(_middle(np.abs(apart - own).ravel(), 0)) / 4
        among = _SIGMAS * float(_middle(np.abs(own - _middle(own, 0)), 0))
        offsets[whole] = own
        return offsets, max(least, round(one_rank), round(among))


def _fixed(values: Float32Array | None, shape: tuple[int, int]) -> Fixed:
    if values is None:
        return np.full(shape, EMPTY, dtype=np.int32)
    return np.where(np.isfinite(values), log2_fixed(values), EMPTY).astype(np.int32)


def _middle(values: NDArray[np.int64], axis: int) -> NDArray[np.int64]:
    """Median of integers, the mean of the two in the middle rounded down."""
    ordered, count = np.sort(values, axis=axis), values.shape[axis]
    return np.asarray((ordered.take((count - 1) // 2, axis) + ordered.take(count // 2, axis)) >> 1)


def _describe(view: View, row: int, verdict: Verdict, what: str) -> Sighting:
    columns = np.flatnonzero(verdict.away)
    columns = columns[np.argsort(-np.abs(verdict.offsets[columns]), kind="stable")]
    worst = int(columns[0])
    offset, limit = as_bits(verdict.offsets[worst]), as_bits(verdict.limit)
    name = view.layers.names[worst]
    count = int((verdict.offsets != EMPTY).sum())
    more = f"; so are {len(columns) - 1} more" if len(columns) > 1 else ""
    text = (
        f"the {what} of {name} is {power(offset):.3g} times that of the median of {count} ranks "
        f"({offset:+.2f} bits, limit {limit:.2f}), in {verdict.reports} reports and more{more}"
    )
    fact = Evidence("rank-outlier", text, int(view.step[row]), offset, limit, name)
    return Sighting((fact, odd_rank(view, row, worst)), tuple(columns.tolist()))
