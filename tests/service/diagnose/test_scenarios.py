"""The named histories of the detectors, healthy and faulty, carried on to alerts."""

from dataclasses import replace

import numpy as np
import pytest

from gradwatch_service.diagnose import fold
from gradwatch_service.diagnose.fold import WriterState
from gradwatch_service.domain import AlertEvent, Facts, Severity
from tests.scenarios import FAULTY, HEALTHY, scenario
from tests.streams import cut

CAUSE_OF = {
    "learning rate too high": "learning-rate-too-high",
    "learning rate jump": "learning-rate-jump",
    "slow growth": "learning-rate-too-high",
    "fast growth": "learning-rate-too-high",
    "through time": "explosion-through-time",
    "bad initialisation": "bad-initialisation",
    "poisoned batches": "data-outlier",
    "creeping growth": "learning-rate-too-high",
    "restless": "learning-rate-too-high",
    "swinging": "learning-rate-too-high",
    "clipped away": "clip-too-tight",
    "collapsing loss scale": "fp16-overflow",
    "slow machine": "stalled-job",
    "replicas drift apart": "hardware-or-rank",
    "rank out of line": "hardware-or-rank",
    "gone silent": "stalled-job",
    "underflowing": "fp16-underflow",
    "dying units": "dead-units",
    "silenced layer": "dead-units",
    "surging embedding": "one-layer",
    "lagging moment": "adam-second-moment",
    "swelling weights": "weights-growing",
    "saturating attention": "weights-growing",
    "growth with length": "explosion-through-time",
    "not a number in one layer": "non-finite-input",
    "near overflow": "fp16-overflow",
    "vanishing sigmoid": "vanishing-gradients",
    "vanished": "vanishing-gradients",
    "deep signal grows": "bad-initialisation",
    "early explosion": "learning-rate-too-high",
    "slow ramp": "learning-rate-too-high",
    "worse than new": "learning-rate-too-high",
}


def told(name: str, *at: int) -> tuple[WriterState, list[AlertEvent]]:
    """State and transitions of a scenario cut before these reports."""
    history = scenario(name)
    state = fold.init(history.layers, Facts())
    events: list[AlertEvent] = []
    for frame in cut(history.frame, at):
        state, outcome = fold.update(state, frame, history.layers)
        events += outcome.events
    return state, events


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_history_gives_information_at_most(name: str) -> None:
    parts = told(name)[0].parts.values()
    assert [part for part in parts if part.severity > Severity.INFO or part.actionable] == []


@pytest.mark.parametrize("name", FAULTY)
def test_a_faulty_history_ends_with_its_cause(name: str) -> None:
    state, events = told(name)
    assert [event.cause for event in events if event.kind == "firing"][-1] == CAUSE_OF[name]
    assert state.parts[CAUSE_OF[name]].opened_step >= scenario(name).onset


@pytest.mark.parametrize("name", [*HEALTHY, *FAULTY])
def test_random_cuts_change_nothing(name: str) -> None:
    size = len(scenario(name))
    cuts = np.unique(np.random.default_rng(size).integers(1, size, 24)).tolist()
    (whole, once), (parted, again) = told(name), told(name, *cuts)
    assert again == once
    assert parted.parts == whole.parts
    assert parted.guard == whole.guard


def test_growth_without_a_jump_is_no_jump() -> None:
    assert "learning-rate-jump" not in told("slow growth")[0].parts


def test_the_input_is_never_written() -> None:
    history = scenario("poisoned batch")  # its arrays are read-only
    frame = replace(history.frame, events=({"kind": "phase", "step": 300},))
    _, outcome = fold.update(fold.init(history.layers, Facts()), frame, history.layers)
    assert [event.kind for event in outcome.events] == ["firing", "resolved"]
