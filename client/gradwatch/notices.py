"""Says each kind of trouble once, through ``logging``: nothing floods a job or is printed."""

from __future__ import annotations

import logging

logger = logging.getLogger("gradwatch")


class Notices:
    """Remembers which kinds of warning this run has already given."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def warn(self, kind: str, message: str) -> None:
        """Log ``message`` as a warning unless one of the same ``kind`` was logged before."""
        if kind in self._given:
            return
        self._given.add(kind)  # before logging: a handler may come back here
        logger.warning("gradwatch: %s", message)
