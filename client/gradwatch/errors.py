"""The one error tree of the client; nothing of it ever reaches a training job.

GradwatchError
├── BadConfig      a setting cannot be used: ``init`` warns and switches reporting off
├── Unreachable    no HTTP answer came: the server may or may not have seen the request
└── Refused        the server answered with an error status
"""

from __future__ import annotations


class GradwatchError(Exception):
    """Base of everything the client raises on its own account."""


class BadConfig(GradwatchError):
    """A setting is wrong; the text says which and what to do."""


class Unreachable(GradwatchError):
    """No answer came from the server: connection refused, timed out, cut.

    ``nobody_listens``: there was no connection, so the attempt has cost the server nothing.
    """

    def __init__(self, reason: str, *, nobody_listens: bool = False) -> None:
        super().__init__(reason)
        self.nobody_listens = nobody_listens


class Refused(GradwatchError):
    """The server answered, but not with success."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{status} {code or 'error'}: {detail or 'the server gave no detail'}")
        self.status = status
        self.code = code
