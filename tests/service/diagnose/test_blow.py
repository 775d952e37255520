"""Blows: the gradient jumps out of the blue, with the loss or without, and comes down or not."""

from collections.abc import Iterable

import numpy as np
import pytest

from gradwatch_service.diagnose.blow import Blow
from tests.service.diagnose.streams import Stream, healthy, tell


def newest(stream: Stream, cuts: Iterable[int] = ()) -> Blow | None:
    return tell(stream, cuts).state.history.blows.newest


def struck(height: float = 8.0, loss: float = 3.0, *, at: int = 100, stop: int = 101) -> Stream:
    stream = healthy(200)
    stream.multiply_norms(at, height, stop)
    stream.multiply_loss(at, loss, stop)
    return stream


def test_loss_and_gradient_that_jump_at_once_and_come_back_are_a_blow() -> None:
    blow = newest(struck())
    assert blow is not None
    assert (blow.ordinal, blow.last, blow.count) == (100, 100, 1)
    assert blow.in_loss
    assert blow.faded


@pytest.mark.parametrize(
    ("height", "loss", "in_loss"),
    [(6.0, 3.0, True), (3.5, 3.0, None), (20.0, 1.0, False), (14.0, 1.0, None)],
)
def test_alone_the_gradient_must_jump_sixteenfold_with_the_loss_fourfold(
    height: float, loss: float, in_loss: bool | None
) -> None:
    blow = newest(struck(height, loss))
    assert (None if blow is None else blow.in_loss) is in_loss


def test_it_fades_within_six_reports_or_not_at_all() -> None:
    five, seven = newest(struck(stop=105)), newest(struck(stop=107))
    assert five is not None
    assert five.faded
    assert seven is not None
    assert not seven.faded
    assert [seven.fades(ordinal) for ordinal in (106, 107)] == [True, False]


def test_a_loss_that_stays_up_has_not_faded() -> None:
    stream = struck()
    stream.multiply_loss(101, 2.9)
    blow = newest(stream)
    assert blow is not None
    assert not blow.faded


def test_blows_within_64_reports_are_a_series() -> None:
    stream = struck()
    for at in (109, 118):
        stream.multiply_norms(at, 8.0, at + 1)
        stream.multiply_loss(at, 3.0, at + 1)
    blow = newest(stream)
    assert blow is not None
    assert (blow.ordinal, blow.last, blow.count) == (100, 118, 3)


def test_what_follows_a_large_update_is_no_blow() -> None:
    stream = struck()
    stream.update_ratio(99, 3e-3)
    assert newest(stream) is None


def test_growth_over_several_reports_is_no_blow() -> None:
    stream = healthy(200)
    stream.multiply_norms(100, 2.0 ** np.minimum(np.arange(100), 12))
    assert newest(stream) is None


@pytest.mark.parametrize("cuts", [[100], [101], range(200), [98, 103, 106]])
def test_however_the_reports_are_cut(cuts: Iterable[int]) -> None:
    assert newest(struck(stop=104), cuts) == newest(struck(stop=104))


def test_a_report_without_a_norm_neither_strikes_nor_fades() -> None:
    stream = struck(stop=103)
    stream.stats["grad_norm"][101:103] = np.nan
    blow = newest(stream)
    assert blow is not None
    assert blow.faded
