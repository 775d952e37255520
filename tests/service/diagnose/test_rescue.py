"""What any alert advises besides its own remedies: save, go back, give up."""

import numpy as np
import pytest

from gradwatch_service.diagnose.rescue import rescue
from gradwatch_service.diagnose.situation import Situation
from gradwatch_service.domain import Evidence, Severity
from tests.service.diagnose.faults import learning_rate_too_high, vanishing_gradients
from tests.service.diagnose.situations import held, situation
from tests.service.diagnose.streams import tell

LOST = held(
    "non-finite",
    Severity.CRITICAL,
    facts=(Evidence("non-finite-weights", "weights are no longer finite", 500),),
)


def actions(s: Situation) -> list[str]:
    return [one.action for one in rescue(s)]


def test_lost_weights_are_loaded_from_the_newest_healthy_checkpoint() -> None:
    s = situation(LOST, checkpoints=(300, 399))
    assert actions(s) == ["rollback"]
    assert rescue(s)[0].params["to_step"] == 399


def test_lost_weights_without_a_checkpoint_end_the_run() -> None:
    assert actions(situation(LOST, checkpoints=(450,))) == ["stop"]


@pytest.mark.parametrize("rule", ["loss-divergence", "loss-above-initial"])
def test_a_spoilt_run_goes_back_if_it_can(rule: str) -> None:
    assert actions(situation(held(rule), checkpoints=(300,))) == ["rollback"]
    assert actions(situation(held(rule))) == []


@pytest.mark.parametrize(
    ("severity", "opened", "saved"),
    [
        (Severity.INFO, 500, False),
        (Severity.WARNING, 500, True),
        (Severity.WARNING, 484, True),
        (Severity.WARNING, 483, False),
        (Severity.ERROR, 500, False),
    ],
)
def test_a_warning_that_has_just_begun_saves_the_state(
    severity: Severity, opened: int, saved: bool
) -> None:
    s = situation(held("gradient-growth", severity, opened=opened))
    assert actions(s) == (["checkpoint_now"] if saved else [])


def test_nothing_is_saved_beside_a_finding_that_is_worse() -> None:
    worse = held("update-ratio-high", Severity.ERROR)
    assert actions(situation(held("gradient-growth"), worse)) == []


def test_the_causes_own_remedies_come_first_and_none_twice() -> None:
    stream = learning_rate_too_high()
    stream.events = ({"kind": "checkpoint", "step": 50},)
    stream.stats["weight_norm"][300] = np.nan
    stream.stats["update_norm"][300] = np.nan
    assert list(tell(stream).advised("learning-rate-too-high")) == ["scale_lr", "rollback"]
    told = tell(vanishing_gradients())
    assert list(told.advised("vanishing-gradients")) == ["change_model", "checkpoint_now"]
