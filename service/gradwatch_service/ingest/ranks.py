"""Compares the ranks of a run, if it has several: the joint stream follows those of its writers.

It is not in the log, since it follows from what is there.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from gradwatch_service.diagnose.ranks import Ranks
from gradwatch_service.domain import AlertEvent, Frame
from gradwatch_service.ingest import own
from gradwatch_service.ingest.comparison import Comparison
from gradwatch_service.ingest.conclusion import degrade
from gradwatch_service.ingest.judge import Failure
from gradwatch_service.ingest.ledger import Ledger
from gradwatch_service.ingest.outcomes import outcome_of
from gradwatch_service.ingest.replay import joined
from gradwatch_service.ingest.run_view import RunDraft
from gradwatch_service.ingest.sources import Sources
from gradwatch_service.store import frames, heads, transitions, writers
from gradwatch_service.store.parts import Contribution


def compare(
    run: RunDraft, sources: Sources, ledger: Ledger, moved: Mapping[str, int]
) -> Comparison:
    """Take in what the group folded, and what others did meanwhile; judge.

    ``moved``: how far the group's streams are folded. To be called with the run's row held, so that
    whoever comes next sees what was written here.
    """
    known, log = _known(run, sources), _Log(run, sources)
    ranks, seqs = known.ranks, known.seqs
    told: Sequence[AlertEvent] = ranks.judged.events
    pushes = heads.pushes(sources.connection, run.run_id)
    if known.pushes + run.pushes != pushes:
        told = transitions.of_writer(sources.connection, run.run_id, _writer(run))
        ranks, seqs = log.read(ranks, seqs)
    ranks = _told(ranks, run)
    if ranks.overlooked:
        ranks, seqs = log.read(Ranks.of(ranks.settled.state.facts), {})
        ranks = _told(ranks, run)
    judged = outcome_of(sources.fold.compare, ranks)
    if isinstance(judged, Exception):
        degrade(run, Failure.of(judged))
        judged = ranks.skipped()
    _note(run, ledger, judged, told)
    return replace(known, pushes=pushes, seqs={**seqs, **moved}, ranks=judged)


def _known(run: RunDraft, sources: Sources) -> Comparison:
    head = run.view.head
    known = sources.memory.comparisons.get(run.run_id)
    if known is not None and (known.epoch, known.attempt) == (head.started_at, head.attempt):
        return known
    ranks = Ranks.of(sources.facts(head, head.attempt))
    return Comparison(head.started_at, head.attempt, pushes=-1, seqs={}, ranks=ranks)


@dataclass(frozen=True, slots=True)
class _Log:
    """The frames of a run's ranks that were folded before this group."""

    run: RunDraft
    sources: Sources

    def read(self, ranks: Ranks, seqs: Mapping[str, int]) -> tuple[Ranks, dict[str, int]]:
        """Take in all from ``seqs`` on, in step: always the rank next that is least far."""
        run_id, connection = self.run.run_id, self.sources.connection
        ends = writers.positions(connection, run_id, self.run.view.head.attempt)
        logs = {
            writer: _read(connection, run_id, writer, range(first, end))
            for writer, end in ends.items()
            if (first := seqs.get(writer, 0)) < end
        }
        while logs:
            writer = min(logs, key=lambda one: (ranks.newest(one), one))
            frame = next(logs[writer], None)
            if frame is None:
                del logs[writer]
                continue
            ranks = ranks.told(writer, frame)
            if ranks.crowded:
                ranks = ranks.caught_up()
        return ranks, {**seqs, **ends}


def _read(connection: Connection, run_id: uuid.UUID, writer: str, seqs: range) -> Iterator[Frame]:
    return joined(logged.frame for logged in frames.folded(connection, run_id, writer, seqs))


def _told(ranks: Ranks, run: RunDraft) -> Ranks:
    for writer, frame in run.folded:
        if writer in run.ranks:
            ranks = ranks.told(writer, frame)
    return ranks


def _note(run: RunDraft, ledger: Ledger, ranks: Ranks, told: Sequence[AlertEvent]) -> None:
    """Note the parts that changed, and the transitions where they differ from what was told."""
    attempt, writer = run.view.head.attempt, _writer(run)
    known = {
        cause: shares[writer].part for cause, shares in run.view.parts.items() if writer in shares
    }
    # What later reports have refuted counts as resolved.
    refuted = {
        cause: replace(part, state="resolved", resolved_step=part.last_step)
        for cause, part in known.items()
        if cause not in ranks.parts and part.state != "resolved"
    }
    for cause, part in {**refuted, **ranks.parts}.items():
        if known.get(cause) != part:
            run.change(writer, Contribution(attempt, part), ledger)
            run.common.add(cause)
    events = ranks.judged.events
    first = _in_common(told, events)
    if first < len(told):
        ledger.retracted.append((run.run_id, writer, first))
    for number, event in enumerate(events[first:], first):
        ledger.add_transition(run.run_id, writer, number, event)


def _writer(run: RunDraft) -> str:
    return own.name(own.RANKS, run.view.head.attempt)


def _in_common(before: Sequence[AlertEvent], after: Sequence[AlertEvent]) -> int:
    """How many transitions two histories share from the beginning."""
    shared = 0
    for old, new in zip(before, after, strict=False):
        if old != new:
            break
        shared += 1
    return shared
