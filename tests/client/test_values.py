from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import numpy as np
import pytest

from gradwatch.values import (
    MISSING32_BITS,
    as_float,
    as_json,
    as_step,
    has_nonfinite,
    is_name,
    missing32,
    missing64,
    narrow,
)
from gradwatch_service import domain


class Stubborn:
    def __str__(self) -> str:
        raise ValueError("no text")

    def __float__(self) -> float:
        raise RuntimeError("a tensor with two elements")


def test_not_measured_has_the_bit_pattern_of_the_contract() -> None:
    assert missing32(1).tobytes() == bytes.fromhex("a207c07f")
    assert missing64(1).tobytes() == bytes.fromhex("00000040f400f87f")
    assert bool(domain.is_missing(missing32(2, 3)).all())
    assert bool(domain.is_missing(missing64(4)).all())


def test_not_measured_survives_being_narrowed() -> None:
    assert narrow(missing64(3)).view(np.uint32).tolist() == [MISSING32_BITS] * 3


def test_a_finite_value_stays_finite_when_narrowed() -> None:
    values = np.array([1e300, -1e300, math.inf, -math.inf, math.nan, 1.5])
    small = narrow(values)
    largest = float(np.finfo(np.float32).max)
    assert small[:2].tolist() == [largest, -largest]
    assert small[2:4].tolist() == [math.inf, -math.inf]
    assert math.isnan(small[4])
    assert small[5] == 1.5


def test_only_what_was_measured_counts_as_non_finite() -> None:
    assert not has_nonfinite(missing32(3))
    assert not has_nonfinite(np.ones(3, np.float32))
    assert has_nonfinite(np.array([1.0, math.nan], np.float32))
    assert has_nonfinite(np.array([math.inf], np.float32))


@pytest.mark.parametrize(
    ("given", "number"),
    [(1, 1.0), (True, 1.0), (2.5, 2.5), (np.float32(0.5), 0.5), ("-Infinity", -math.inf)],
)
def test_reads_a_number_however_it_is_given(given: object, number: float) -> None:
    assert as_float(given) == number  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [None, "one", [1.0], object(), 10**400, Stubborn()])
def test_what_is_no_number_is_none(given: object) -> None:
    assert as_float(given) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "step"),
    [
        (0, 0),
        (np.int32(7), 7),
        (2**53 - 1, 2**53 - 1),
        (2**53, None),
        (-1, None),
        (1.0, None),
        ("1", None),
        (None, None),
    ],
)
def test_a_step_is_an_integer_up_to_2_to_the_53(given: object, step: int | None) -> None:
    assert as_step(given) == step  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "usable"),
    [
        ("loss", True),
        ("Schicht 1/Größe", True),
        ("n" * 512, True),
        ("n" * 513, False),
        ("ü" * 257, False),
        ("", False),
        ("a\nb", False),
        ("\ud800", False),
        (b"loss", False),
        (["loss"], False),
    ],
)
def test_a_name_is_what_the_service_accepts(name: object, usable: bool) -> None:
    assert is_name(name) is usable


def test_json_of_anything_can_be_encoded() -> None:
    given = {
        "text": "a\0b\ud800",
        "nan": math.nan,
        "up": math.inf,
        "down": np.float32(-math.inf),
        "big": 2**60,
        "small": np.int8(3),
        "tuple": (1, None, True),
        "array": np.arange(3),
        "large array": np.zeros(5000),
        "path": Path("a/b"),
        7: Stubborn(),
    }
    read = as_json(given)
    assert isinstance(read, dict)
    json.dumps(read, allow_nan=False)
    assert read["text"] == "ab?"
    assert [read["nan"], read["up"], read["down"]] == ["NaN", "Infinity", "-Infinity"]
    assert [read["big"], read["small"], read["tuple"]] == [str(2**60), 3, [1, None, True]]
    assert [read["array"], read["path"], read["7"]] == [[0, 1, 2], "a/b", "Stubborn"]
    assert isinstance(read["large array"], str)


def test_json_of_something_that_holds_itself_ends() -> None:
    loop: list[object] = []
    loop.append(loop)
    assert json.dumps(as_json(loop)).count("[") < 40


def test_missing_is_what_widening_makes_of_the_32_bit_pattern() -> None:
    wide = np.float64(missing32(1)[0])
    assert struct.pack("<d", wide) == missing64(1).tobytes()
