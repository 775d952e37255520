"""Stretches of 16 values."""

from __future__ import annotations

import numpy as np

from gradwatch_service.detect import stretches
from gradwatch_service.detect.fixedpoint import ONE_BIT
from tests.service.detect.watching import every, watch
from tests.streams import Scenario, steady


def ends(run: Scenario, size: int) -> list[int]:
    """The reports at which a stretch of losses ends."""
    found = []
    for seen in watch(run, every(size, run)).seen:
        row = seen.view.loss.stretch
        if row is not None:
            found.append(int(seen.view.ordinal[row]))
    return found


def test_a_stretch_ends_with_every_16th_value_however_the_stream_is_cut() -> None:
    run = steady(80)
    assert ends(run, 1) == ends(run, 7) == ends(run, 80) == [15, 31, 47, 63, 79]
    sparse = run.without([3, 4, *range(20, 30), 40])
    assert ends(sparse, 1) == ends(sparse, 7) == ends(sparse, 80) == [17, 44, 60, 76]


def test_the_last_values_at_a_row() -> None:
    view = watch(steady(32).scalar("loss", np.exp2(np.arange(32.0)))).seen[1].view
    assert (view.loss.last(3, 5) // ONE_BIT).tolist() == [15, 16, 17, 18, 19]


def test_median_and_spread_are_values_and_distances_that_were_measured() -> None:
    values = [1, 3, 2, 100]
    assert stretches.median(values) == 3
    assert stretches.spread(values, 3) == 2 * 1518 >> 10


def test_a_verdict_stands_at_the_end_of_the_stretch() -> None:
    view, known = watch(steady(4)).seen[0].view, np.ones(4, np.bool_)
    describe = stretches.within(view, known, calm=True).describe
    signal = stretches.judged(view, 2, 3, (True, False), known, describe)
    assert signal.level is not None
    assert signal.level.tolist() == [0, 0, 3, 0]
    assert signal.calm.tolist() == [True, True, False, False]
    nothing = stretches.judged(view, 2, 0, (False, True), known, describe)
    assert nothing.level is None
    assert nothing.calm.tolist() == [False, False, True, True]
    assert stretches.within(view, known, calm=False).calm.tolist() == [False] * 4
