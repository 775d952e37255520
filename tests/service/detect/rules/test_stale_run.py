"""stale-run: judges what the worker wrote into the log."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ranks import silence
from tests.service.detect.watching import watch

RULE = "stale-run"


def found(*seconds: float) -> list[tuple[int, str, str]]:
    return watch(silence(np.array(seconds))).of(RULE)


def test_longer_than_the_patience_is_an_error_three_times_as_long_critical() -> None:
    assert found(0.0, 30.0) == []
    assert found(31.0, 90.0, 91.0) == [(0, "opened", "error"), (2, "worsened", "critical")]
    assert found(91.0) == [(0, "opened", "critical")]


def test_the_next_sign_of_life_ends_it() -> None:
    assert found(31.0, 0.0, 0.0) == [(0, "opened", "error"), (1, "cleared", "error")]
    assert [kind for _, kind, _ in found(31.0, 0.0, 40.0, 0.0)] == ["opened", "cleared"] * 2


def test_it_says_how_long_and_what_is_usual() -> None:
    (fact,) = watch(silence(np.array([312.4]), patience=60.0)).first(RULE).evidence
    assert (fact.value, fact.threshold) == (312.4, 60.0)
    assert fact.text == (
        "nothing was reported for 312 s; at the pace of this run 60 s are usual at most"
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_no_observation(value: float) -> None:
    assert found(value, 31.0, value, 0.0) == [(1, "opened", "error"), (3, "cleared", "error")]
