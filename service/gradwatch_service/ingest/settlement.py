"""Judges what is urgent, and writes a group in one go: runs first, then streams, then the rest."""

from __future__ import annotations

from gradwatch_service.ingest.conclusion import conclude, verdict_row
from gradwatch_service.ingest.group import Group
from gradwatch_service.ingest.ranks import compare
from gradwatch_service.ingest.run_view import RunDraft
from gradwatch_service.store import heads, writers


def settle(group: Group) -> bool:
    """Write it all; False if another process moved on what the group was based on.

    Runs first and in order: whoever shares a run with us waits there, and nobody deadlocks.
    """
    if not _note_signs_of_life(group, group.touched):
        return False
    group.judge()
    if not (_conclude(group, group.touched) and _move_streams(group)):
        return False
    group.ledger.write(group.sources.connection)
    return True


def _note_signs_of_life(group: Group, runs: list[RunDraft]) -> bool:
    """From here on this transaction holds the rows of its runs."""
    connection, now = group.sources.connection, group.ledger.now
    silences = [run.silence for run in runs if run.silence is not None]
    pushes = [run.push_row(now) for run in runs if run.pushes]
    return heads.note_silences(connection, silences) and heads.note_pushes(connection, pushes)


def _conclude(group: Group, runs: list[RunDraft]) -> bool:
    for run in runs:
        if run.has_ranks and run.touched:
            moved = group.positions(run)
            group.comparisons[run.run_id] = compare(run, group.sources, group.ledger, moved)
        group.views[run.run_id] = conclude(run, group.sources.fold, group.ledger)
    verdicts = [verdict_row(run.view, group.view(run)) for run in runs if run.concludes]
    return heads.note_verdicts(group.sources.connection, verdicts)


def _move_streams(group: Group) -> bool:
    connection = group.sources.connection
    touched = [
        (run.run_id, run.streams[writer]) for run in group.touched for writer in sorted(run.touched)
    ]
    new = [stream.first_row(run_id) for run_id, stream in touched if not stream.version]
    known = [stream.next_row(run_id) for run_id, stream in touched if stream.version]
    if not writers.advance(connection, known):
        return False
    writers.add(connection, new)
    for _, stream in touched:
        stream.version += 1
    return True
