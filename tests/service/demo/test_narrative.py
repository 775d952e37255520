"""The story of the demo: it names everything a newcomer needs and fits a terminal."""

from __future__ import annotations

from gradwatch_service.demo import narrative
from gradwatch_service.demo.curves import Scale
from gradwatch_service.demo.job import Settings
from gradwatch_service.demo.outcome import claims, fate_of
from tests.service.demo.telling import ALERT, exploded, survived

ALONE, HELPED = exploded(), survived()
FATE = fate_of(ALONE)
SCALES = (Scale(-2.0, 0.0, 100), Scale(0.0, 1.0, 100))
RUNS = {"A": "01a20935-c9db-76e9-986b-d6598db28d75", "B": "01a20935-c9db-76e9-986b-d6598db28d76"}


def test_every_line_fits_a_hundred_columns() -> None:
    story = [
        *narrative.opening(Settings(), "http://127.0.0.1:40000", "sqlite:///gradwatch.db"),
        *narrative.unguarded(ALONE, FATE, SCALES),
        *narrative.guarded(HELPED, FATE, SCALES),
        *(narrative.warning(FATE.alert, FATE) if FATE.alert else []),
        *narrative.ledger({"A": [ALERT] * 3, "B": []}),
        *narrative.checks(claims(FATE, HELPED, 100)),
        *narrative.pointers(".venv/bin/gradwatch", "sqlite:///gradwatch.db", RUNS),
    ]
    assert max(map(len, story)) <= 100
    assert len(story) > 60


def test_the_warning_names_rule_step_layer_cause_and_numbered_remedies() -> None:
    assert FATE.alert is not None
    lines = narrative.warning(FATE.alert, FATE)
    assert lines[1] == "What Gradwatch told job A at step 39, 28 steps before it was ruined"
    assert lines[3:8] == [
        "[ERROR] Gradients explode through time in W_hh",
        "  rule        explosion-through-time",
        "  step        38",
        "  layer       W_hh, then W_xh",
        "  cause       explosion-through-time, confidence 88%",
    ]
    assert [line for line in lines if "evidence" in line] == [
        "  evidence    it grows by 81",
        "  evidence    β = 0.1",
    ]
    assert "  1. Clip the gradient norm at 14.2  (class 1)" in lines
    assert "  2. Use a gated cell  (class 4)" in lines


def test_the_job_without_help_is_told_with_its_steps() -> None:
    lines = narrative.unguarded(ALONE, FATE, SCALES)
    assert lines[3:6] == [
        "It learned: the loss fell from 1 to 0.1 by step 28 (median of 16 steps).",
        "It was ruined at step 67: the loss rose and never came back.",
        "From step 90 on the loss is no number any more.",
    ]
    assert lines[-2].endswith("!|")


def test_the_job_with_help_is_told_with_what_was_done() -> None:
    lines = narrative.guarded(HELPED, FATE, SCALES)
    assert lines[3:6] == [
        "The guard clipped 3 of 100 gradients and skipped 1 updates.",
        "Advice followed from step 40 on: Back-propagate through at most 55 time steps.",
        "Final loss 0.01; the best of job A was 0.1, 10.0 times better.",
    ]


def test_a_job_that_did_well_is_not_told_as_ruined() -> None:
    lines = narrative.unguarded(HELPED, fate_of(HELPED), SCALES)
    assert not any("ruined" in line or "no number" in line for line in lines)


def test_a_worse_end_is_not_called_better() -> None:
    lines = narrative.guarded(survived(final=0.5), FATE, SCALES)
    assert "Final loss 0.5; the best of job A was 0.1." in lines


def test_what_does_not_hold_stands_out() -> None:
    lines = narrative.checks(claims(FATE, survived(final=0.5), 100))
    assert [line[2:5] for line in lines[3:]] == ["yes", "yes", "yes", "NO "]


def test_the_alerts_in_the_database_are_listed_by_job() -> None:
    lines = narrative.ledger({"A": [ALERT], "B": []})
    assert lines[3:] == [
        "  job A  explosion-through-time: firing, steps 38 to 70, error",
        "  job B  no alerts",
    ]
