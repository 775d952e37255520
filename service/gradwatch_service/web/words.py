"""How pages write numbers, steps and times: the same everywhere."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from typing import Any

MISSING = "–"


def number(value: float | str | None) -> str:
    """Four significant digits, very large and very small ones with an exponent."""
    if value is None:
        return MISSING
    value = float(value)
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    return f"{value:.4g}".replace("-", "−")


def step(value: int | None) -> str:
    """A step with its thousands apart."""
    return MISSING if value is None else f"{value:,}"


def moment(value: dt.datetime | str) -> str:
    """As ``<time datetime=…>`` and the API have it; the browser shows it in its own zone."""
    when = dt.datetime.fromisoformat(value) if isinstance(value, str) else value
    return when.astimezone(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def ago(value: dt.datetime | str, now: dt.datetime) -> str:
    """How long ago, in one unit; in the browser ``times.js`` keeps it fresh and counts alike."""
    when = dt.datetime.fromisoformat(value) if isinstance(value, str) else value
    seconds = int((now - when).total_seconds())
    if seconds < 2:
        return "now"
    for unit, length, most in (("s", 1, 60), ("min", 60, 3_600), ("h", 3_600, 172_800)):
        if seconds < most:
            return f"{seconds // length} {unit} ago"
    return f"{seconds // 86_400} d ago"


FILTERS: dict[str, Callable[..., Any]] = {
    "number": number,
    "step": step,
    "moment": moment,
    "ago": ago,
}
