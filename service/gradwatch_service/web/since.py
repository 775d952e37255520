"""How long ago something was, in the words of people; pages left open count on by themselves."""

from __future__ import annotations

import datetime as dt

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def ago(moment: dt.datetime | str, now: dt.datetime) -> str:
    """The largest unit alone; what is to come, or was within a minute, is now."""
    when = dt.datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    seconds = int((now - when).total_seconds())
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return "just now"


def left(moment: dt.datetime | str, now: dt.datetime) -> str:
    """How long it is until then."""
    when = dt.datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    seconds = int((when - now).total_seconds())
    for size, unit in _UNITS:
        if seconds >= size:
            return f"in {seconds // size} {unit}"
    return "in less than a minute"
