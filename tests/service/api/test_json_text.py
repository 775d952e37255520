import math

import pytest

from gradwatch_service.api.answers import encode
from gradwatch_service.api.json_text import BARE_WORD_WARNING, parse
from gradwatch_service.errors import Unreadable


def code_of(body: bytes) -> str:
    with pytest.raises(Unreadable) as caught:
        parse(body)
    assert len(caught.value.detail) < 200
    return caught.value.code


def test_reads_plain_json_without_a_warning():
    assert parse(b'{"a": [1, 2.5, null, true, "x"]}') == ({"a": [1, 2.5, None, True, "x"]}, ())


def test_accepts_bare_nan_and_infinity_with_a_warning():
    value, warnings = parse(b"[NaN, Infinity, -Infinity, 1]")
    assert math.isnan(value[0])
    assert value[1:] == [math.inf, -math.inf, 1]
    assert warnings == (BARE_WORD_WARNING,)


@pytest.mark.parametrize("text", [b"1e999", b"-1e999", b'{"loss": 1e400}'])
def test_refuses_a_number_that_only_overflows_to_infinity(text):
    assert code_of(text) == "number-overflow"


def test_refuses_an_integer_of_thousands_of_digits():
    assert code_of(b"9" * 5000) == "number-overflow"


def test_refuses_the_same_key_twice():
    assert code_of(b'{"loss": 1, "loss": 2}') == "duplicate-key"


@pytest.mark.parametrize("bomb", [b"[" * 100_000, b'{"a":' * 100_000])
def test_refuses_a_depth_bomb(bomb):
    assert code_of(bomb) == "too-deep"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"nan", b"\xff\xfe", '{"a": 1}'.encode("utf-16"), b"\xef\xbb\xbf{}", b"1 2"]
)
def test_refuses_what_is_not_utf8_json(body):
    assert code_of(body) == "unreadable"


def test_the_detail_says_where_but_never_what():
    with pytest.raises(Unreadable) as caught:
        parse(b'{"secret": hunter2}')
    assert caught.value.detail == "the body is not JSON: Expecting value at line 1, column 12"


def test_writes_non_finite_numbers_as_words():
    value = {"a": [math.nan, 1.5], "b": {"c": math.inf}, "d": (-math.inf,)}
    assert encode(value) == b'{"a":["NaN",1.5],"b":{"c":"Infinity"},"d":["-Infinity"]}'


def test_refuses_to_write_what_has_no_json_form():
    with pytest.raises(TypeError, match="set has no JSON form"):
        encode({"a": set()})
