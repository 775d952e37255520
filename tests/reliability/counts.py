"""How often a promise is put to the test: briefly by default, in full where it is asked for."""

from __future__ import annotations

import os

FULL = os.environ.get("GRADWATCH_RELIABILITY") == "full"


def times(brief: int, full: int) -> int:
    """A count: ``full`` is what RELIABILITY.md promises, ``brief`` what every change can afford."""
    return full if FULL else brief
