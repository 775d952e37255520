"""The seam between what is to be told and the ways it travels."""

from __future__ import annotations

from typing import Protocol

from gradwatch_service.notify.message import Message


class UndeliveredError(Exception):
    """A message did not arrive.

    ``permanent``: the same again would fail again, until somebody mends the channel.
    ``retry_after_seconds``: what the other side asked for.
    """

    def __init__(
        self, detail: str, *, permanent: bool, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.permanent = permanent
        self.retry_after_seconds = retry_after_seconds


class Channel(Protocol):
    """A way to tell somebody."""

    def deliver(self, message: Message) -> None:
        """Return when the other side has taken the message.

        Raises:
            UndeliveredError: it has not, as far as one can know.
        """
