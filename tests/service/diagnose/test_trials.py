"""What became of advice: read from events, and what follows for the next advice."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradwatch_service.diagnose.trials import Trial, Word, after, read
from tests.service.diagnose.faults import learning_rate_too_high
from tests.service.diagnose.streams import Stream, Told, healthy, tell


def said(step: int, status: str, action: str = "scale_lr", **more: Any) -> dict[str, Any]:
    return {"kind": "advice", "step": step, "action": action, "status": status} | more


@pytest.mark.parametrize(
    "event",
    [
        {"kind": "checkpoint", "step": 3},
        {"kind": "advice", "action": "scale_lr", "status": "applied"},
        {"kind": "advice", "step": 3, "status": "applied"},
        {"kind": "advice", "step": 3, "action": "scale_lr"},
    ],
)
def test_events_that_say_nothing_of_advice_are_passed_over(event: dict[str, Any]) -> None:
    assert read(event) is None


def test_an_event_says_what_became_of_an_action() -> None:
    assert read(said(3, "applied", id="x", params={})) == Word("scale_lr", "applied", 3)


def test_the_newest_word_counts_and_failures_are_counted() -> None:
    words = [Word("a", status, step) for step, status in enumerate(["applied", "verified"])]
    assert after({}, words) == {"a": Trial("verified", 1, 0, 0)}
    again = [Word("a", "applied", 5), Word("a", "failed", 9), Word("b", "declined", 9)]
    assert after(after({}, words), again) == {
        "a": Trial("failed", 9, 5, 1),
        "b": Trial("declined", 9, None, 0),
    }
    assert after({}, [Word("a", "undone", 7)])["a"] == Trial("undone", 7, 7, 0)


def test_at_most_32_actions_are_remembered() -> None:
    known = after({}, [Word(f"a{i}", "applied", i) for i in range(40)])
    assert list(known) == [f"a{i}" for i in range(8, 40)]


def with_words(*words: dict[str, Any]) -> Stream:
    stream = learning_rate_too_high()
    stream.events = ({"kind": "checkpoint", "step": 50}, *words)
    return stream


def actions(told: Told) -> list[tuple[str, int]]:
    advice = told.parts["learning-rate-too-high"].advice
    return [(one.action, one.round) for one in advice]


def test_an_action_that_did_not_help_goes_to_the_end_and_says_so() -> None:
    tried = (said(230, "applied"), said(294, "failed"))
    before, told = tell(with_words(*tried).until(294)), tell(with_words(*tried))
    assert actions(before) == [("scale_lr", 0), ("rollback", 0)]
    assert actions(told) == [("rollback", 0), ("scale_lr", 1)]
    text = told.parts["learning-rate-too-high"].advice[1].text
    assert text.startswith("Tried at step 294: it did not help. Multiply")


def test_an_action_that_helped_stays_the_same_advice_and_first() -> None:
    assert actions(tell(with_words(said(230, "applied"), said(294, "verified")))) == [
        ("scale_lr", 0),
        ("rollback", 0),
    ]


def test_a_failure_before_the_trouble_began_is_forgiven() -> None:
    assert actions(tell(with_words(said(20, "failed")))) == [("scale_lr", 1), ("rollback", 0)]


@pytest.mark.parametrize("cuts", [[295], range(320), [294], [7, 293, 296]])
def test_what_was_tried_is_heard_at_its_step_however_reports_are_cut(cuts: Any) -> None:
    stream = with_words(said(230, "applied"), said(294, "failed"))
    whole, cut = tell(stream), tell(stream, cuts)
    assert cut.parts == whole.parts
    assert cut.state.history.trials == whole.state.history.trials


def restored(*words: dict[str, Any]) -> Stream:
    """A rate that comes back to its old level at report 200, with trouble from 203 on."""
    stream = healthy(320)
    stream.scalars["lr"][:200] /= 10
    stream.update_ratio(200, 0.03)
    stream.multiply_norms(203, np.minimum(1.3 ** np.arange(117), 30.0))
    stream.multiply_loss(203, 1.1 ** np.arange(117))
    stream.events = words
    return stream


def test_a_jump_of_the_rate_that_advice_made_is_no_jump_of_the_schedule() -> None:
    assert "learning-rate-jump" in tell(restored()).parts
    assert "learning-rate-jump" in tell(restored(said(100, "applied"))).parts
    assert "learning-rate-jump" in tell(restored(said(199, "declined"))).parts
    assert "learning-rate-jump" not in tell(restored(said(199, "undone"))).parts
    other = replace(restored(), events=(said(199, "applied", action="clip_grad_norm"),))
    assert "learning-rate-jump" in tell(other).parts
