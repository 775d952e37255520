"""A stream on tape answers for the settings that are asked, whatever was asked before."""

from __future__ import annotations

import numpy as np
import pytest

from gradwatch_service.detect.tape import record
from gradwatch_service.domain import Facts, RuleChanges
from gradwatch_service.ingest import reel
from gradwatch_service.ingest.reel import Reel
from tests.service.ingest.rig import LAYERS
from tests.service.ingest.training import exploding


def test_a_slider_that_moves_to_and_fro_gets_the_answer_of_each_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More places than are remembered, many of them with the same answer."""
    monkeypatch.setattr(reel, "MOST_TRACKS", 3)
    chance = np.random.default_rng(2)
    tape = record(LAYERS, [(exploding(1), LAYERS)])
    known, place = Reel("w0", 1, Facts(), tape), 6.0
    known.judged((), lambda: None)
    right: dict[float, str] = {}
    for _ in range(400):
        place = float(np.clip(place + chance.choice([-3.0, -0.5, 0.5, 3.0]), 6.0, 40.0))
        changes: RuleChanges = (("gradient-spike", "threshold", place),)
        if place not in right:
            right[place] = repr(Reel("w0", 1, Facts(), tape).judged(changes, lambda: None))
        assert repr(known.judged(changes, lambda: None)) == right[place]
