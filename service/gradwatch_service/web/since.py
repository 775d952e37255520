"""How long ago something was, or is to come, as ``times.js`` goes on to say it."""

from __future__ import annotations

import datetime as dt

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (2, "s"))


def ago(moment: dt.datetime | str, now: dt.datetime) -> str:
    """The distance in its largest unit alone."""
    when = dt.datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    seconds = round((now - when).total_seconds())
    found = next(((size, unit) for size, unit in _UNITS if abs(seconds) >= size), None)
    if found is None:
        return "now"
    size, unit = found
    count = abs(seconds) // (1 if unit == "s" else size)
    return f"{count} {unit} ago" if seconds > 0 else f"in {count} {unit}"
