"""A stored run, ready to be judged by whatever settings: what they share is computed once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np
from sqlalchemy import Connection

from gradwatch_service.detect.rule import Rule
from gradwatch_service.detect.rules import catalogue
from gradwatch_service.detect.tape import Pace, Tape, Track, record, track
from gradwatch_service.detect.tuning import muted
from gradwatch_service.diagnose import joint
from gradwatch_service.diagnose.joint import Reports
from gradwatch_service.diagnose.rehearsal import Told, rehearse
from gradwatch_service.domain import Facts, Frame, IntArray, LayerTable, RuleChanges
from gradwatch_service.ingest import own
from gradwatch_service.ingest.judge import Part
from gradwatch_service.store import launches, past_runs
from gradwatch_service.store.past_runs import PastRun, PastStream

MOST_TRACKS = 8  # of one rule: a slider that is drawn to and fro
BYTES_A_VIEW = 24_000  # beside the numbers themselves; measured
OVERHEAD = 2

Log = list[tuple[Frame, LayerTable]]


@dataclass
class Reel:
    """A stream on tape, with what each rule made of it; the newest settings are remembered."""

    writer: str
    attempt: int
    facts: Facts
    tape: Tape
    tracks: dict[str, dict[Rule[Any], Track]] = field(default_factory=dict)
    # With the tracks that a key names by their identity: they live as long as it does.
    told: dict[object, tuple[Mapping[str, Track], Told]] = field(default_factory=dict)

    @property
    def steps(self) -> IntArray:
        """The steps reported, in their order."""
        views = chain.from_iterable(take.views for take in self.tape.takes)
        return np.concatenate([np.empty(0, np.int64), *(view.step for view in views)])

    @property
    def size(self) -> int:
        """About how many bytes it takes in memory."""
        views = [view for take in self.tape.takes for view in take.views]
        held = sum(values.nbytes for view in views for values in view.stats.values())
        return OVERHEAD * held + BYTES_A_VIEW * len(views)

    def judged(self, changes: RuleChanges, pace: Pace) -> Told:
        """What the rules as set make of it."""
        tracks = {rule.id: self._track(rule, pace) for rule in catalogue(changes)}
        key = (tuple((rule, id(one)) for rule, one in tracks.items()), muted(changes))
        if key not in self.told:
            facts = replace(self.facts, rules=changes)
            found = rehearse(self.tape, tracks, facts, pace)
            _limited(self.told)[key] = (tracks, found)
        return self.told[key][1]

    def _track(self, rule: Rule[Any], pace: Pace) -> Track:
        """Of equal tracks there is but one: where nothing changes nothing is diagnosed anew."""
        known = self.tracks.setdefault(rule.id, {})
        if rule not in known:
            made = track(self.tape, rule, pace)
            same = next((one for one in known.values() if one == made), made)
            _limited(known)[rule] = same
        return known[rule]


def _limited(known: dict[Any, Any]) -> dict[Any, Any]:
    """With room for one more; the first, which stands for the present settings, stays."""
    if len(known) >= MOST_TRACKS:
        del known[list(known)[1]]
    return known


def reels(
    connection: Connection, run: PastRun, streams: Iterable[PastStream], pace: Pace
) -> list[Reel]:
    """A run on tape: each of its streams, and the comparison of its ranks.

    Raises:
        Conflict: some of it is no longer kept as it came.
    """
    found: list[Reel] = []
    ranks: dict[int, dict[str, Log]] = {}
    for stream in streams:
        facts = launches.facts_of(connection, run.run_id, stream.attempt)
        log = _joined(connection, run, stream, pace)
        tape = record(past_runs.first_table(connection, run.run_id, stream), _paced(log, pace))
        found.append(Reel(stream.writer, stream.attempt, facts, tape))
        if stream.first_step is not None:
            ranks.setdefault(stream.attempt, {})[stream.writer] = log
    for attempt, logs in ranks.items():
        side_by_side = _compared(logs) if len(logs) > 1 else None
        if side_by_side is not None:
            facts = launches.facts_of(connection, run.run_id, attempt)
            tape = record(LayerTable(), [side_by_side])
            found.append(Reel(own.name(own.RANKS, attempt), attempt, facts, tape))
    return found


def _joined(connection: Connection, run: PastRun, stream: PastStream, pace: Pace) -> Log:
    log = _paced(past_runs.log(connection, run.run_id, stream), pace)
    return [(part.frame, part.layers) for part in Part.joined(log)]


def _paced(
    log: Iterable[tuple[Frame, LayerTable]], pace: Pace
) -> Iterable[tuple[Frame, LayerTable]]:
    for one in log:
        pace()
        yield one


def _compared(logs: Mapping[str, Log]) -> tuple[Frame, LayerTable] | None:
    reports: dict[str, Reports] = {}
    for writer, log in logs.items():
        for frame, _ in log:
            held = reports.get(writer)
            new = joint.read(frame, held)
            reports[writer] = new if held is None else held.then(new)
    return joint.side_by_side(reports, LayerTable())
