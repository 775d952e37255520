"""The only place that asks for the wall clock; everything else is handed a ``Clock`` or a time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import TypeAlias

Clock: TypeAlias = Callable[[], dt.datetime]


def utc_now() -> dt.datetime:
    """The time now, aware, in UTC."""
    return dt.datetime.now(dt.UTC)
