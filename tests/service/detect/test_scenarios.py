"""The scenarios themselves: the same every time, and cut without loss."""

from __future__ import annotations

import numpy as np
import pytest

from gradwatch_service.domain import is_missing
from tests.scenarios import FAULTY, HEALTHY, scenario
from tests.streams import cut, steady

EVERY = {**HEALTHY, **FAULTY}


@pytest.mark.parametrize("name", EVERY)
def test_a_scenario_is_the_same_every_time_and_cannot_be_written(name: str) -> None:
    one, other = EVERY[name](), scenario(name)
    assert (one.layers, one.onset, len(one)) == (other.layers, other.onset, len(other))
    for before, after in (
        (one.frame.scalars, other.frame.scalars),
        (one.frame.layers, other.frame.layers),
        (one.frame.profiles, other.frame.profiles),
    ):
        assert before.keys() == after.keys()
        for key in before:
            assert before[key].tobytes() == after[key].tobytes()
            assert not after[key].flags.writeable


def test_names_of_healthy_and_faulty_scenarios_differ() -> None:
    assert len(EVERY) == len(HEALTHY) + len(FAULTY)


def test_pieces_lack_what_they_measured_nothing_of_and_join_to_the_whole() -> None:
    run = steady(10).without(range(4, 7), layers_only=True)
    pieces = list(cut(run.frame, [4, 7]))
    assert [sorted(piece.layers) for piece in pieces] == [
        ["grad_norm", "update_norm", "weight_norm"],
        [],
        ["grad_norm", "update_norm", "weight_norm"],
    ]
    assert np.concatenate([piece.steps for piece in pieces]).tolist() == list(range(10))
    assert all(len(piece.scalars["loss"]) == len(piece) for piece in pieces)
    assert is_missing(run.frame.layers["grad_norm"]).sum() == 3 * len(run.layers)
