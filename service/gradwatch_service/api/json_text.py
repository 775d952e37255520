"""The one JSON reader of the API: strict, bounded in depth, and forgiving only about bare NaN."""

from __future__ import annotations

import json
import math
from typing import NamedTuple

from gradwatch_service.domain import JsonValue
from gradwatch_service.errors import Unreadable

BARE_WORD_WARNING = (
    'bare NaN or Infinity is not JSON; it was accepted, send the strings "NaN", "Infinity", '
    '"-Infinity"'
)


class Parsed(NamedTuple):
    """A JSON value and what the sender should know about how it was read."""

    value: JsonValue
    warnings: tuple[str, ...]


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise Unreadable(
            'a number is too large for a float; send "Infinity" if that is meant',
            code="number-overflow",
        )
    return value


def _unique(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Unreadable("an object has the same key twice", code="duplicate-key")
    return members


def parse(body: bytes) -> Parsed:
    """Read UTF-8 JSON text.

    Raises:
        Unreadable: not UTF-8, not JSON, nested too deep, a key twice, or a number like 1e999.
    """
    bare: list[str] = []

    def constant(token: str) -> float:
        bare.append(token)
        return float(token)

    try:
        value = json.loads(
            body.decode(), parse_float=_finite, parse_constant=constant, object_pairs_hook=_unique
        )
    except UnicodeDecodeError as error:
        raise Unreadable(f"the body is not UTF-8 at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise Unreadable(
            f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from error
    except RecursionError as error:
        raise Unreadable("the body is nested too deep", code="too-deep") from error
    except ValueError as error:  # an integer of thousands of digits
        raise Unreadable("a number has too many digits", code="number-overflow") from error
    return Parsed(value, (BARE_WORD_WARNING,) if bare else ())
