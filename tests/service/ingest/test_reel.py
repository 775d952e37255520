"""A stream on tape answers for the settings that are asked, whatever was asked before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from gradwatch_service.detect.tape import Tape, record
from gradwatch_service.domain import Facts
from gradwatch_service.ingest import reel
from gradwatch_service.ingest.reel import Reel
from tests.service.ingest.rig import LAYERS


@dataclass
class Step:
    """Stands for a track: many thresholds lead to equal ones."""

    height: int


def step_of(_: Tape, rule: Any, __: Any) -> Step:
    return Step(int(getattr(rule, "threshold", 0)) // 4)


def heights(_: Tape, tracks: dict[str, Step], *__: Any) -> dict[str, int]:
    return {rule: one.height for rule, one in tracks.items()}


def test_a_slider_that_moves_to_and_fro_gets_the_answer_of_each_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More places than are remembered: what stood for one must not be taken for another."""
    monkeypatch.setattr(reel, "track", step_of)
    monkeypatch.setattr(reel, "rehearse", heights)
    known, chance = Reel("w0", 1, Facts(), record(LAYERS, [])), np.random.default_rng(2)
    place = 6.0
    for _ in range(2_000):
        place = float(np.clip(place + chance.choice([-3.0, -0.5, 0.5, 3.0]), 6.0, 40.0))
        told: Any = known.judged((("gradient-spike", "threshold", place),), lambda: None)
        assert told["gradient-spike"] == int(place) // 4
