"""Values as text: non-finite numbers, times, ids in order, cursors."""

from __future__ import annotations

import datetime as dt
import math
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradwatch_service.errors import Invalid
from gradwatch_service.store.codec import Mark, Page, decode, encode, number, rfc3339, uuid7

NOW = dt.datetime(2026, 11, 23, 12, 30, 1, 250_999, dt.UTC)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(JSON)
def test_any_json_survives_as_ascii(value: object) -> None:
    text = encode(value)
    assert text.isascii()
    assert "\x00" not in text
    assert decode(text) == value


def test_non_finite_numbers_become_words_and_come_back() -> None:
    value = {"a": [math.nan, math.inf, -math.inf, 1.5], "b": (math.nan,)}
    assert encode(value) == '{"a":["NaN","Infinity","-Infinity",1.5],"b":["NaN"]}'
    words = decode(encode(value))["a"]
    assert math.isnan(number(words[0]))
    assert [number(word) for word in words[1:]] == [math.inf, -math.inf, 1.5]
    assert number(None) is None


def test_times_are_written_in_utc() -> None:
    zone = dt.timezone(dt.timedelta(hours=2))
    assert rfc3339(NOW.astimezone(zone)) == "2026-11-23T12:30:01.250Z"


def test_ids_are_version_7_and_sort_by_time_and_then_by_creation() -> None:
    ids = [uuid7(NOW + dt.timedelta(milliseconds=n // 50)) for n in range(200)]
    assert ids == sorted(ids)
    assert {(one.version, one.variant) for one in ids} == {(7, uuid.RFC_4122)}
    assert ids[0].int >> 80 == int(NOW.timestamp() * 1000)


def test_a_cursor_leads_back_to_its_place() -> None:
    mark = Mark(NOW, uuid.UUID(int=5))
    assert Mark.parse(mark.cursor) == mark


@pytest.mark.parametrize(
    "text", ["", "x", "%%%%", "é", "MjAyNi0xMS0yMw", "MjAyNi0xMS0yM1QwMDowMDowMCA1"]
)
def test_a_cursor_nobody_gave_out_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        Mark.parse(text)
    assert caught.value.code == "bad-cursor"


@pytest.mark.parametrize(
    "moment",
    [NOW.replace(tzinfo=None), dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=14)))],
)
def test_a_cursor_of_no_time_in_utc_is_refused(moment: dt.datetime) -> None:
    with pytest.raises(Invalid):
        Mark.parse(Mark(moment, uuid.UUID(int=5)).cursor)


def test_a_page_names_its_successor_only_if_there_is_one() -> None:
    found = [(Mark(NOW, uuid.UUID(int=n)), {"n": n}) for n in range(3)]
    page = Page.of(found, 2)
    assert page == Page(({"n": 0}, {"n": 1}), found[1][0].cursor)
    assert Page.of(found, 3).next_cursor is None
