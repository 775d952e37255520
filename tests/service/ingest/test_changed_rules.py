"""A restarted writer reads the log again with the rules of now, which may stumble or be mended."""

from __future__ import annotations

import uuid

from sqlalchemy import Engine

from gradwatch_service.diagnose import fold
from gradwatch_service.diagnose.fold import Outcome, WriterState
from gradwatch_service.domain import Frame, LayerTable
from gradwatch_service.ingest.fold import Fold
from gradwatch_service.ingest.pushes import Receipt
from gradwatch_service.store import tables
from tests.service.ingest.rig import answer, create_run, rows, serving, verdict
from tests.service.ingest.training import REPORTS, cut, exploding

CUTS = range(10, REPORTS, 10)
FRAMES = len(CUTS) + 1
USUAL = Fold()


def picky(state: WriterState, frame: Frame, layers: LayerTable) -> tuple[WriterState, Outcome]:
    """Rules of another version, which cannot bear step 20."""
    if 20 in frame.steps:
        raise ZeroDivisionError("a newer rule stumbled")
    return fold.update(state, frame, layers)


PICKY = Fold(update=picky)


def judged(engine: Engine, *lives: tuple[Fold, int]) -> tuple[uuid.UUID, Receipt]:
    """A run taken by one writer after the other, each with its rules, for so many frames."""
    run_id = create_run(engine)
    pushes = iter(cut(run_id, exploding(1), CUTS, "w0"))
    receipts = []
    for rules, count in lives:
        with serving(engine, fold=rules) as writer:
            receipts += [answer(writer, next(pushes)) for _ in range(count)]
    assert [receipt.contiguous_through for receipt in receipts] == list(range(FRAMES))
    return run_id, receipts[-1]


def firing(engine: Engine, run_id: uuid.UUID) -> list[str]:
    alerts = verdict(engine, run_id)["alerts"]
    return sorted(cause for cause, body in alerts.items() if body["state"] == "firing")


def test_rules_that_stumble_on_replay_stop_nothing_from_being_stored(engine: Engine) -> None:
    run_id, last = judged(engine, (USUAL, 7), (PICKY, 5))
    assert last.status == "stored"
    stored = rows(engine, tables.frames, run_id, "seq", "step_min")
    assert stored == [(seq, 10 * seq) for seq in range(FRAMES)]
    assert rows(engine, tables.writers, run_id, "next_seq", "lost") == [(FRAMES, 0)]
    assert last.health == "critical"


def test_mended_rules_judge_the_whole_log_as_if_they_had_never_stumbled(engine: Engine) -> None:
    _, expected = judged(engine, (USUAL, FRAMES))
    _, mended = judged(engine, (USUAL, 7), (PICKY, 1), (USUAL, 4))
    assert mended.guard == expected.guard
    assert mended.health == expected.health == "critical"


def test_a_restart_before_every_frame_changes_no_verdict(engine: Engine) -> None:
    plain, expected = judged(engine, (USUAL, FRAMES))
    often, last = judged(engine, *[(USUAL, 1)] * FRAMES)
    assert last.guard == expected.guard
    for key in ("transitions", "writers", "run"):
        assert verdict(engine, often)[key] == verdict(engine, plain)[key]
    assert firing(engine, often) == firing(engine, plain) != []
