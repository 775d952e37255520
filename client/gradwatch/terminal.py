"""How the command line speaks: aligned lines on standard output, complaints on standard error."""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Mapping, Sequence

from gradwatch import clock


def write(line: str = "") -> None:
    """Write one line of output at once, so that it can be piped."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def complain(line: str) -> None:
    """Write one line to standard error."""
    sys.stderr.write(f"gradwatch: {line}\n")


def write_json(value: object) -> None:
    """Write one JSON value as one line."""
    write(json.dumps(value, ensure_ascii=False))


def write_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write rows in aligned columns under their titles; the last column is not padded."""
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    for row in (titles, *rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        write("  ".join(cells).rstrip())


def text(item: Mapping[str, object], key: str) -> str:
    """A field of an item as a cell; "-" if it is absent or null."""
    value = item.get(key)
    return "-" if value is None or value == "" else str(value)


def number(value: object) -> str:
    """A number in at most four significant digits; words such as NaN as they are."""
    return f"{value:.4g}" if isinstance(value, float) else "-" if value is None else str(value)


def age(moment: object) -> str:
    """How long ago an RFC 3339 time was, in its largest unit."""
    try:
        then = dt.datetime.fromisoformat(str(moment)).timestamp()
    except ValueError:
        return "-"
    return f"{duration(max(0.0, clock.now() - then))} ago"


def duration(seconds: float) -> str:
    """A length of time in its largest unit."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def size(count: int) -> str:
    """A number of bytes in the unit that suits it."""
    amount = float(count)
    for unit in ("bytes", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} GB"
