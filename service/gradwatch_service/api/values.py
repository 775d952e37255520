"""Single JSON values as they may come: a reader returns the value or says what is wrong."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Mapping

from gradwatch_service.domain import MAX_STEP, JsonValue
from gradwatch_service.store.wording import MAX_DEPTH, invalid

YEAR_10000 = 253_402_300_800

_INTEGER_END = 2**63
_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_UNFIT = re.compile("[\0\ud800-\udfff]")


def step(value: object, pointer: str) -> int:
    """A step: an integer from 0 to 2^53 - 1."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise invalid(pointer, "not-an-integer", "a step must be an integer")
    if not 0 <= value <= MAX_STEP:
        raise invalid(pointer, "out-of-range", "a step must be from 0 to 2^53 - 1")
    return value


def number(value: object, pointer: str) -> float:
    """A number, or one of the words ``"NaN"``, ``"Infinity"``, ``"-Infinity"``."""
    if isinstance(value, float):
        return value
    if isinstance(value, str) and value in _WORDS:
        return _WORDS[value]
    if not isinstance(value, int) or isinstance(value, bool):
        detail = 'must be a number, "NaN", "Infinity", "-Infinity", or null for not measured'
        raise invalid(pointer, "not-a-number", detail)
    try:
        return float(value)
    except OverflowError as error:
        raise invalid(pointer, "number-overflow", "must fit a 64-bit float") from error


def moment(value: object, pointer: str) -> float:
    """A time in unix seconds, given so or as RFC 3339 with an offset."""
    seconds = _rfc3339(value, pointer) if isinstance(value, str) else number(value, pointer)
    if not 0 <= seconds < YEAR_10000:
        raise invalid(pointer, "not-a-time", "a time must lie between 1970 and 9999")
    return seconds


def _rfc3339(value: str, pointer: str) -> float:
    try:
        parsed = dt.datetime.fromisoformat(value)
    except ValueError as error:
        raise invalid(pointer, "not-a-time", "must be unix seconds or RFC 3339") from error
    if parsed.tzinfo is None:
        raise invalid(pointer, "not-a-time", "must name its offset from UTC, such as Z")
    return parsed.timestamp()


def text(value: str, pointer: str) -> str:
    """Text that UTF-8 and every database can hold: no NUL, no lone surrogate."""
    if _UNFIT.search(value):
        raise invalid(pointer, "bad-text", "must not hold NUL or lone surrogates")
    return value


def free(value: JsonValue, pointer: str, depth: int = MAX_DEPTH) -> JsonValue:
    """A free-form value that every codec can write: bounded depth and integers, clean text."""
    if isinstance(value, str):
        text(value, pointer)
    elif isinstance(value, int) and not -_INTEGER_END <= value < _INTEGER_END:
        raise invalid(pointer, "number-overflow", "integers must fit 64 bits")
    elif isinstance(value, Mapping | list):
        if not depth:
            raise invalid(pointer, "too-deep", f"must not nest deeper than {MAX_DEPTH}")
        for item in [*value, *value.values()] if isinstance(value, Mapping) else value:
            free(item, pointer, depth - 1)
    return value
