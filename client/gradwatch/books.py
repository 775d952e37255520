"""What became of the records of a queue, and what the service said about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from gradwatch.buffer import Buffer
from gradwatch.news import News


class Books(Protocol):
    """Whoever wants to know about a queue's records."""

    def settle(self, *, stored: int = 0, rejected: int = 0) -> None:
        """Records have been stored, or refused for good."""
        ...

    def hear(self, receipt: Mapping[str, object]) -> None:
        """The service has answered."""
        ...


class OwnBooks:
    """Those of this process: its counts, and the news for its run."""

    def __init__(self, buffer: Buffer) -> None:
        self.news = News()
        self._buffer = buffer

    def settle(self, *, stored: int = 0, rejected: int = 0) -> None:
        """Records have been stored, or refused for good."""
        self._buffer.settle(stored=stored, rejected=rejected)

    def hear(self, receipt: Mapping[str, object]) -> None:
        """The service has answered."""
        self.news = self.news.after(receipt)


class BooksBehind:
    """Those of this process for what an outage left, whose guards are of long ago."""

    def __init__(self, books: Books) -> None:
        self._books = books

    def settle(self, *, stored: int = 0, rejected: int = 0) -> None:
        """Records have been stored, or refused for good."""
        self._books.settle(stored=stored, rejected=rejected)

    def hear(self, receipt: Mapping[str, object]) -> None:
        """The service has answered."""
        self._books.hear({key: value for key, value in receipt.items() if key != "guard"})


class Tally:
    """Those of another process, which may be dead: only counted."""

    def __init__(self) -> None:
        self.stored = self.rejected = 0

    def settle(self, *, stored: int = 0, rejected: int = 0) -> None:
        """Records have been stored, or refused for good."""
        self.stored += stored
        self.rejected += rejected

    def hear(self, receipt: Mapping[str, object]) -> None:
        """Nobody waits for the news."""
