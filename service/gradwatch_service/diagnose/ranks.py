"""Judges the ranks of a job against each other: one joint stream of what they report by step.

The joint stream is folded as any other. It is a function of what each rank has reported: the order
in which their frames arrive changes nothing. Its clock is the step: a step is judged once every
rank has reached it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gradwatch_service.diagnose import fold
from gradwatch_service.diagnose.fold import WriterState
from gradwatch_service.diagnose.joint import Reports, read, side_by_side
from gradwatch_service.domain import AlertEvent, AlertPart, Facts, Frame, LayerTable

# So many reports of each rank are kept; one that is further behind the furthest is not waited for.
KEPT = 1024


@dataclass(frozen=True, slots=True)
class Judged:
    """The joint stream folded up to a step, and all transitions of its alerts so far."""

    state: WriterState
    through: int = -1
    events: tuple[AlertEvent, ...] = ()

    def advanced(self, reports: Mapping[str, Reports], through: int) -> Judged:
        """Fold the steps up to ``through``."""
        if through == self.through:
            return self
        known = self.state.detector.substrate.layers
        steps = {rank: one.between(self.through, through) for rank, one in reports.items()}
        joint = side_by_side(steps, known)
        if joint is None:
            return replace(self, through=through)
        state, outcome = fold.update(self.state, *joint)
        return Judged(state, through, (*self.events, *outcome.events))


@dataclass(frozen=True, slots=True)
class Ranks:
    """The ranks of one launch.

    ``reports``: the newest of each; ``settled``: judged for good up to a step, of which nothing
    more is kept; ``judged``: as far as the ranks have come; ``late``: ranks that reported steps
    which were settled already.
    """

    settled: Judged
    judged: Judged
    reports: Mapping[str, Reports] = field(default_factory=dict)
    late: frozenset[str] = frozenset()

    @staticmethod
    def of(facts: Facts) -> Ranks:
        """Before the first report of a launch."""
        begun = Judged(fold.init(LayerTable(), facts))
        return Ranks(begun, begun)

    @property
    def parts(self) -> Mapping[str, AlertPart]:
        """What the comparison contributes to the alert of each cause."""
        return self.judged.state.parts

    @property
    def overlooked(self) -> bool:
        """Whether a rank that was late has caught up: only reading all again does it justice."""
        return not self.late.isdisjoint(self.reports)

    @property
    def crowded(self) -> bool:
        """Whether more is kept than need be."""
        return max(map(len, self.reports.values()), default=0) > 2 * KEPT

    def newest(self, rank: str) -> int:
        """The last step a rank has reported, -1 if nothing of it is kept."""
        return self.reports[rank].back(0) if rank in self.reports else -1

    def told(self, rank: str, frame: Frame) -> Ranks:
        """Take in what a rank reported; of steps it has gone past already, nothing."""
        held = self.reports.get(rank)
        new = read(frame, held)
        fresh = new.rows(new.steps > self.settled.through)
        late = self.late if len(fresh) == len(new) else self.late | {rank}
        if not len(fresh):
            return self if late is self.late else replace(self, late=late)
        reports = {**self.reports, rank: fresh if held is None else held.then(fresh)}
        judged = self.judged if fresh.steps[0] > self.judged.through else self.settled
        return Ranks(self.settled, judged, reports, late)

    def caught_up(self) -> Ranks:
        """Judge every step that the ranks waited for have reached."""
        through = self._frontier()
        judged = self.judged if through >= self.judged.through else self.settled
        ranks = replace(self, judged=judged.advanced(self.reports, through))
        return ranks._trimmed() if ranks.crowded else ranks

    def skipped(self) -> Ranks:
        """Go past the steps that could not be judged."""
        return replace(self, judged=replace(self.judged, through=self._frontier()))

    def _frontier(self) -> int:
        """The step up to which to judge: that of the slowest rank which is waited for."""
        edge = self._edge()
        waited_for = [step for step in map(self.newest, self.reports) if step > edge]
        return min(waited_for, default=self.judged.through)

    def _edge(self) -> int:
        """The step the furthest rank was at 1,024 reports ago."""
        return max((one.back(KEPT) for one in self.reports.values()), default=-1)

    def _trimmed(self) -> Ranks:
        """Settle and forget all but the newest reports."""
        edge = self._edge()
        left = {rank: one.between(edge, one.back(0)) for rank, one in self.reports.items()}
        return replace(
            self,
            settled=self.settled.advanced(self.reports, edge),
            reports={rank: one for rank, one in left.items() if len(one)},
        )
