"""Base-2 logarithms in fixed point."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradwatch_service.detect.fixedpoint import (
    FLOOR,
    ONE_BIT,
    as_bits,
    as_value,
    bits,
    log2_bits,
    log2_fixed,
)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_powers_of_two_are_exact(dtype: type) -> None:
    exponents = np.arange(-126, 128)
    found = log2_fixed(np.ldexp(np.ones(len(exponents), dtype), exponents))
    assert found.dtype == np.int32
    assert found.tolist() == (exponents * ONE_BIT).tolist()


@given(st.floats(2.0**-139, 1e308))
def test_the_error_against_the_logarithm_is_below_two_units(value: float) -> None:
    found = int(log2_fixed(np.array([value]))[0])
    assert -0.51 < math.log2(value) * ONE_BIT - found < 1.95


@given(st.floats(2.0**-126, 2.0**127, width=32))
def test_float32_and_float64_give_the_same_number(value: float) -> None:
    narrow = log2_fixed(np.array([value], np.float32))
    assert narrow.tolist() == log2_fixed(np.array([value], np.float64)).tolist()


@given(st.floats(2.0**-139, 1e307))
def test_it_never_falls_where_the_number_rises(value: float) -> None:
    low, high = log2_fixed(np.array([value, value * 1.001]))
    assert low <= high


def test_the_sign_is_ignored() -> None:
    assert log2_fixed(np.array([-8.0, 8.0])).tolist() == [3 * ONE_BIT] * 2
    assert log2_fixed(np.array([-8.0], np.float32)).tolist() == [3 * ONE_BIT]


def test_zero_and_numbers_too_small_give_the_floor() -> None:
    assert log2_fixed(np.array([0.0, -0.0, 5e-324, 2.0**-141])).tolist() == [FLOOR] * 4
    assert log2_fixed(np.array([0.0, 1e-40], np.float32)).tolist() == [FLOOR] * 2


def test_any_shape_and_any_memory_order_is_fine() -> None:
    table = np.exp2(np.arange(6.0)).reshape(2, 3)
    assert log2_fixed(table.T).tolist() == [
        [0, 3 * ONE_BIT],
        [ONE_BIT, 4 * ONE_BIT],
        [2 * ONE_BIT, 5 * ONE_BIT],
    ]
    assert log2_fixed(np.empty((0, 3))).shape == (0, 3)


def test_numbers_and_bits_convert_back() -> None:
    assert bits(1.5) == 24576
    assert log2_bits(8.0) == 3 * ONE_BIT
    assert as_bits(bits(-3.25)) == -3.25
    assert as_value(bits(10.0)) == 1024.0
    assert as_value(bits(1024.0)) == math.inf
