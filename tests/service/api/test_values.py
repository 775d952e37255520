import math

import pytest

from gradwatch_service.api import values
from gradwatch_service.errors import Invalid


def code_of(read, value):
    with pytest.raises(Invalid) as caught:
        read(value, "/here")
    assert caught.value.errors[0].pointer == "/here"
    return caught.value.errors[0].code


@pytest.mark.parametrize("value", [0, 1, 2**53 - 1])
def test_a_step_is_an_integer_of_53_bits(value):
    assert values.step(value, "/here") == value


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (-1, "out-of-range"),
        (2**53, "out-of-range"),
        (True, "not-an-integer"),
        (1.0, "not-an-integer"),
        ("1", "not-an-integer"),
        (None, "not-an-integer"),
    ],
)
def test_everything_else_is_no_step(value, code):
    assert code_of(values.step, value) == code


@pytest.mark.parametrize(
    ("value", "expected"), [(1, 1.0), (1.5, 1.5), ("Infinity", math.inf), ("-Infinity", -math.inf)]
)
def test_a_number_is_a_number_or_a_word(value, expected):
    assert values.number(value, "/here") == expected


def test_the_word_nan_is_a_nan():
    assert math.isnan(values.number("NaN", "/here"))


@pytest.mark.parametrize("value", [True, None, "nan", "1.5", "inf", [], {}])
def test_everything_else_is_no_number(value):
    assert code_of(values.number, value) == "not-a-number"


def test_an_integer_beyond_all_floats_is_no_number():
    assert code_of(values.number, 10**400) == "number-overflow"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1_700_000_000.25, 1_700_000_000.25),
        ("2023-11-14T22:13:20Z", 1_700_000_000.0),
        ("2023-11-15T00:13:20.500+02:00", 1_700_000_000.5),
    ],
)
def test_a_moment_is_unix_seconds_or_rfc3339(value, expected):
    assert values.moment(value, "/here") == expected


@pytest.mark.parametrize(
    "value",
    [
        "yesterday",
        "2023-11-14T22:13:20",
        -1,
        1e300,
        "NaN",
        math.nan,
        "Infinity",
        "0001-01-01T00:00:00+14:00",
    ],
)
def test_everything_else_is_no_moment(value):
    assert code_of(values.moment, value) == "not-a-time"


def test_free_values_pass_as_they_are():
    value = {"a": [1, 2.5, True, None, "µ"], "b": {"c": -(2**63)}}
    assert values.free(value, "/here") is value


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("a\0b", "bad-text"),
        ({"a\0b": 1}, "bad-text"),
        (["\ud800"], "bad-text"),
        ([2**63], "number-overflow"),
        ([-(2**63) - 1], "number-overflow"),
    ],
)
def test_free_values_that_no_database_could_hold_are_refused(value, code):
    assert code_of(values.free, value) == code


def test_free_values_must_not_nest_too_deep():
    value: object = 0
    for _ in range(33):
        value = [value]
    assert code_of(values.free, value) == "too-deep"
