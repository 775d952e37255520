"""Names of the streams the service writes itself: clients cannot take them."""

from __future__ import annotations

import re

# What comes by ``POST /runs/{id}/steps`` and ``…/events``.
STEPS = "steps"
# The ranks of a launch side by side; not in the log, as it follows from what is.
RANKS = "service/ranks"
# What the worker saw: that a run has gone silent.
SILENCE = "service/silence"

_RESERVED = re.compile(rf"{STEPS}(-\d+)?|service/.*")


def name(stream: str, attempt: int) -> str:
    """The name of such a stream in an attempt."""
    return stream if attempt == 1 else f"{stream}-{attempt}"


def is_reserved(writer: str) -> bool:
    """Whether a client may not write under this name."""
    return _RESERVED.fullmatch(writer) is not None
