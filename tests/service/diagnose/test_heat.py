"""Which layers run hot, since when."""

import numpy as np
import pytest

from gradwatch_service.detect.baseline import EMPTY
from gradwatch_service.detect.fixedpoint import bits
from gradwatch_service.detect.view import LayerTrack
from gradwatch_service.diagnose.heat import COLD, Heat
from tests.scenarios import scenario
from tests.service.detect.watching import watch


def track(*z: list[float], rise: float = 2.0) -> LayerTrack:
    """Rows of z, one column per layer; every layer stands ``rise`` bits over its median."""
    values = np.array(z)
    y = np.full(values.shape, bits(rise), dtype=np.int32)
    ok = np.isfinite(values)
    median = np.zeros(values.shape[1], np.int32)
    return LayerTrack(y, ok, ~ok, np.nan_to_num(values), median, median + 1, median == 0)


def advance(heat: Heat, rows: LayerTrack, first: int) -> Heat:
    size = len(rows.y)
    return heat.advance(rows, slice(0, size), first + np.arange(size))


def test_nothing_is_hot_at_the_start() -> None:
    heat = Heat.empty(2)
    assert heat.since.tolist() == [COLD, COLD]
    assert not heat.hot(0).any()


def test_a_layer_is_hot_from_z_6_and_one_bit_on() -> None:
    assert advance(Heat.empty(2), track([5.9, 6.0]), 40).since.tolist() == [COLD, 40]
    assert advance(Heat.empty(2), track([9.0, 9.0], rise=0.9), 40).since.tolist() == [COLD, COLD]


def test_a_hot_stretch_bridges_eight_cool_reports_but_not_nine() -> None:
    cool = [[0.0]] * 7
    bridged = advance(Heat.empty(1), track([9.0], *cool, [9.0]), 40)
    assert (bridged.since.tolist(), bridged.last.tolist()) == ([40], [48])
    broken = advance(Heat.empty(1), track([9.0], *cool, [0.0], [9.0]), 40)
    assert broken.since.tolist() == [49]
    assert bridged.hot(56).all()
    assert not bridged.hot(57).any()


def test_remembers_the_first_value_of_each_layer() -> None:
    heat = advance(Heat.empty(2), track([np.nan, 0.0], [0.0, 0.0]), 0)
    assert heat.first.tolist() == [bits(2.0)] * 2
    later = advance(heat, track([0.0, 0.0], rise=5.0), 2)
    assert later.first.tolist() == [bits(2.0)] * 2
    assert later.rise(track([0.0, np.nan], rise=5.0), 0).tolist() == [bits(3.0), 0]


def test_the_rise_of_a_layer_never_seen_is_zero() -> None:
    assert Heat.empty(1).rise(track([0.0]), 0).tolist() == [0]


def test_follows_the_layers_to_a_new_table() -> None:
    heat = advance(Heat.empty(2), track([0.0, 9.0]), 40).grown(np.array([1, -1]))
    assert heat.since.tolist() == [40, COLD]
    assert heat.first.tolist() == [bits(2.0), EMPTY]


@pytest.mark.parametrize(
    "name", ["learning rate jump", "layers every 10th report", "surging embedding"]
)
def test_looking_closer_only_where_a_layer_may_be_hot_makes_no_difference(name: str) -> None:
    run = scenario(name)
    heat = every = Heat.empty(len(run.layers))
    for seen in watch(run).seen:
        rows = slice(0, len(seen.view))
        heat = heat.follow(seen.view, rows)
        every = every.advance(seen.view.layer, rows, seen.view.ordinal)
        for field in ("first", "since", "last"):
            np.testing.assert_array_equal(getattr(heat, field), getattr(every, field))
