"""How the reduced gradient stands to a rank's own."""

from collections.abc import Iterable

import numpy as np
import pytest

from gradwatch_service.diagnose.standing import Standing
from tests.service.diagnose.streams import Stream, healthy, tell


def shard(factor: float, *, usual: float = 0.7, at: int = 200) -> Stream:
    """One of several ranks: from ``at`` on another one makes the reduced gradient larger."""
    stream = healthy(260)
    norms = np.sqrt((stream.stats["grad_norm"] ** 2).sum(axis=1))
    noise = np.exp(np.random.default_rng(6).normal(0, 0.2, 260))
    stream.scalars["local_grad_norm"] = norms / usual * noise
    stream.multiply_norms(at, factor)
    stream.update_ratio(at, 0.3)
    return stream


def standing(stream: Stream, cuts: Iterable[int] = ()) -> Standing:
    return tell(stream, cuts).state.history.standing


@pytest.mark.parametrize(("factor", "usual"), [(1.5, 0.7), (4.0, 0.3), (1.8, 4.0)])
def test_a_reduced_gradient_that_is_small_or_no_larger_than_usual_is_not(
    factor: float, usual: float
) -> None:
    assert "hardware-or-rank" not in tell(shard(factor, usual=usual)).parts


def test_it_is_known_from_32_reports_on() -> None:
    assert (standing(shard(4.0).until(31)).now, standing(shard(4.0).until(31)).rise) == (None, 0.0)
    assert standing(shard(4.0).until(32)).now == pytest.approx(-0.5, abs=0.2)


def test_reports_without_the_ranks_own_norm_say_nothing() -> None:
    stream = shard(4.0)
    stream.scalars["local_grad_norm"][100:] = np.nan
    assert len(standing(stream.until(90)).ratios) == 90
    assert np.array_equal(standing(stream).ratios, standing(stream.until(100)).ratios)
    assert len(standing(healthy(50)).ratios) == 0


@pytest.mark.parametrize("cuts", [range(260), [199, 201, 230]])
def test_however_the_reports_are_cut(cuts: Iterable[int]) -> None:
    whole, cut = standing(shard(4.0)), standing(shard(4.0), cuts)
    assert np.array_equal(whole.ratios, cut.ratios)
