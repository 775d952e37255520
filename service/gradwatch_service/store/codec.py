"""How values become text: JSON that survives non-finite numbers, times, page cursors, ids."""

from __future__ import annotations

import base64
import datetime as dt
import itertools
import json
import math
import secrets
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gradwatch_service.domain import JsonValue
from gradwatch_service.errors import Invalid

Json = dict[str, JsonValue]

_encoder = json.JSONEncoder(allow_nan=False, separators=(",", ":"), default=dict)
_counter = itertools.count()
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def plain(value: JsonValue) -> JsonValue:
    """A copy in which every non-finite float is ``"NaN"``, ``"Infinity"`` or ``"-Infinity"``."""
    if isinstance(value, float):
        return value if math.isfinite(value) else _word(value)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value


def _word(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def number(value: JsonValue) -> float | None:
    """The float that ``plain`` wrote; None stays None."""
    if isinstance(value, str):
        return _NOT_FINITE[value]
    return float(value) if isinstance(value, int | float) else None


def encode(value: JsonValue) -> str:
    """JSON text in pure ASCII, so that every database holds every string in it."""
    try:
        return _encoder.encode(value)
    except ValueError:  # there is a non-finite number somewhere
        return _encoder.encode(plain(value))


def decode(text: str) -> JsonValue:
    """The value ``encode`` wrote; non-finite numbers stay words, ``number`` turns them back."""
    value: JsonValue = json.loads(text)
    return value


def rfc3339(moment: dt.datetime) -> str:
    """A time as the API writes it: UTC, milliseconds, ``Z``."""
    text = moment.astimezone(dt.UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def uuid7(now: dt.datetime) -> uuid.UUID:
    """A fresh id, ordered by time and, within a process and a millisecond, by a counter.

    RFC 9562 version 7: 48 bits of time, 32 of the counter, 42 of chance.
    """
    milliseconds = int(now.timestamp() * 1000) & (2**48 - 1)
    count = next(_counter) & (2**32 - 1)
    high, low = count >> 20, (count & (2**20 - 1)) << 42 | secrets.randbits(42)
    return uuid.UUID(int=milliseconds << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low)


@dataclass(frozen=True, slots=True)
class Mark:
    """The place in a list, newest first, after which the next page begins."""

    moment: dt.datetime
    id: uuid.UUID

    @property
    def cursor(self) -> str:
        """The mark as it travels: opaque to whoever sends it back."""
        text = f"{self.moment.isoformat()} {self.id}"
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @staticmethod
    def parse(text: str) -> Mark:
        """Read a cursor that an earlier page gave out.

        Raises:
            Invalid: it is none of ours.
        """
        try:
            padded = text + "=" * (-len(text) % 4)
            moment, identity = base64.urlsafe_b64decode(padded.encode()).decode().split(" ")
            return Mark(_aware(moment), uuid.UUID(identity))
        except (ValueError, OverflowError) as error:
            raise Invalid("cursor is not one this list gave out", code="bad-cursor") from error


def _aware(text: str) -> dt.datetime:
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without an offset")
    return moment.astimezone(dt.UTC)


@dataclass(frozen=True, slots=True)
class Page:
    """Some items of a list and where the next page begins; None at the end."""

    items: tuple[Json, ...]
    next_cursor: str | None

    @staticmethod
    def of(found: Sequence[tuple[Mark, Json]], limit: int) -> Page:
        """At most ``limit`` of the items found; look for one more to learn if there is more."""
        more = len(found) > limit
        items = tuple(item for _, item in found[:limit])
        return Page(items, found[limit - 1][0].cursor if more else None)
