"""One piece of work for the writer, and who waits for its answer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from gradwatch_service.ingest.pushes import FramePush, Push, Verdict


@dataclass(frozen=True, slots=True)
class Job:
    """A push, or a command on the database; and who waits for the answer."""

    work: Push | Callable[[Connection], Any]
    future: Future[Any]

    def rank(self) -> int:
        """Commands come first, then what the judge has found, then pushes."""
        if isinstance(self.work, Verdict):
            return 1
        return 0 if callable(self.work) else 2

    @property
    def bytes(self) -> int:
        """The size of what it brings."""
        return len(self.work.body) if isinstance(self.work, FramePush) else 0

    def answer(self, answer: object) -> None:
        """Resolve the future."""
        if isinstance(answer, Exception):
            self.future.set_exception(answer)
        else:
            self.future.set_result(answer)
