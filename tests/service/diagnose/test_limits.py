"""Clipping limits that come and go."""

import numpy as np
import pytest

from gradwatch_service.diagnose.limits import Limits


def follow(*limits: float, cuts: tuple[int, ...] = ()) -> Limits:
    memory, ordinal = Limits(), np.arange(len(limits))
    for part in np.split(ordinal, cuts):
        if len(part):
            memory = memory.advance(np.array(limits)[part], part)
    return memory


def test_a_limit_is_lifted_once_it_is_gone_after_sixteen_reports_on_end() -> None:
    assert follow(*[1.0] * 16, np.nan).lifted(16) == 16
    assert follow(*[1.0] * 15, np.nan).lifted(15) is None
    assert follow(*[1.0] * 16).lifted(15) is None
    assert follow(*[1.0, np.nan] * 20).lifted(39) is None


def test_a_limit_of_nothing_is_none() -> None:
    assert follow(*[1.0] * 16, 0.0).lifted(16) == 16
    assert follow(np.nan, np.nan).lifted(1) is None


@pytest.mark.parametrize("cuts", [(), (5,), (1, 2, 17), (16,)])
def test_however_the_reports_are_cut(cuts: tuple[int, ...]) -> None:
    limits = (*[1.0] * 17, np.nan, np.nan)
    assert follow(*limits, cuts=cuts) == follow(*limits)
