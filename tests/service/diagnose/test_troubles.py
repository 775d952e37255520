"""Which stretches of a run were in trouble, and which checkpoints are healthy."""

from typing import Any

import pytest

from gradwatch_service.diagnose.troubles import Trouble, healthy, noted
from tests.service.diagnose.faults import learning_rate_too_high, spikes
from tests.service.diagnose.streams import Stream, tell


def test_a_trouble_lasts_from_the_onset_of_the_earliest_alert_to_the_end_of_the_last() -> None:
    known = noted((), 90, 100)
    assert known == (Trouble(90),)
    known = noted(known, 90, 104)
    known = noted(known, 80, 110)
    assert known == (Trouble(80),)
    known = noted(known, None, 130)
    assert known == (Trouble(80, 130),)
    assert noted(known, None, 140) is known
    assert noted(known, 150, 151) == (Trouble(80, 130), Trouble(150))


def test_64_troubles_are_remembered() -> None:
    known: tuple[Trouble, ...] = ()
    for step in range(0, 700, 10):
        known = noted(noted(known, step, step), None, step + 5)
    assert (len(known), known[0].since) == (64, 60)


@pytest.mark.parametrize(
    ("checkpoint", "good"),
    [(89, True), (90, False), (130, False), (194, False), (195, True), (400, True)],
)
def test_a_checkpoint_is_healthy_before_a_trouble_and_64_reports_after_it(
    checkpoint: int, good: bool
) -> None:
    assert (healthy([checkpoint], [Trouble(90, 130)], 1, None) == (checkpoint,)) is good
    tenfold = healthy([10 * checkpoint], [Trouble(900, 1300)], 10, None)
    assert bool(tenfold) is good


def test_the_weights_a_run_begins_with_are_healthy_whatever_comes() -> None:
    assert healthy([0, 40], [Trouble(0)], 1, 0) == (0,)
    assert healthy([0, 40], [Trouble(0)], 1, None) == ()


def test_while_a_trouble_lasts_no_checkpoint_after_its_onset_is_healthy() -> None:
    assert healthy([50, 89, 90, 5000], [Trouble(90)], 1, None) == (50, 89)


def test_alerts_of_severity_warning_and_worse_are_troubles() -> None:
    assert tell(learning_rate_too_high()).state.history.troubles == (Trouble(200),)
    assert tell(spikes(100, 200)).state.history.troubles == ()


def returns(stream: Stream, *checkpoints: int) -> Any:
    """Where the rollback of a rate that is too high goes."""
    stream.events = tuple({"kind": "checkpoint", "step": step} for step in checkpoints)
    return tell(stream).advised("learning-rate-too-high")["rollback"]["to_step"]


def test_a_rollback_passes_over_a_checkpoint_in_a_trouble_of_long_ago() -> None:
    assert returns(learning_rate_too_high(), 30, 60, 99) == 99
    stream = learning_rate_too_high()
    stream.scalars["loss"][50] = float("nan")
    assert returns(stream, 30, 60, 99) == 30
