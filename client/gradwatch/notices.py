"""Says each kind of trouble once, through ``logging``: nothing floods a job or is printed."""

from __future__ import annotations

import logging

logger = logging.getLogger("gradwatch")


class Notices:
    """Remembers which kinds of warning have been given; ``newest`` is the last text.

    ``is_quiet``: they are only remembered, for whoever shows them in another way.
    """

    def __init__(self, *, is_quiet: bool = False) -> None:
        self.newest = ""
        self._is_quiet = is_quiet
        self._given: set[str] = set()

    def warn(self, kind: str, message: str) -> None:
        """Log ``message`` as a warning unless one of the same ``kind`` was logged before."""
        if kind in self._given:
            return
        self._given.add(kind)  # before logging: a handler may come back here
        self.newest = message
        if not self._is_quiet:
            logger.warning("gradwatch: %s", message)
