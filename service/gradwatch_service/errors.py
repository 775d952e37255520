"""The one error tree of the service; ``api.problems`` renders it as RFC 9457 problem+json.

ServiceError
├── Unreadable            400   the body cannot be parsed
├── Unauthorized          401   nobody knows who asks
├── Forbidden             403   not with this key
├── NotFound              404   no such run, alert, … for this caller
├── MethodNotAllowed      405   the address has other methods
├── TooSlow               408   the head of a request did not come in time
├── Conflict              409   same identity, other body
│   └── UnknownLayers     409   the layer table of this hash was never sent
├── TooLarge              413   over a limit: split and send again
├── UnsupportedMedia      415   media type or encoding we do not read
├── Invalid               422   readable, but every item breaks the contract
├── TooManyRequests       429   a limit on how often; try again after ``retry_after_seconds``
├── HeadTooLarge          431   over a limit of headers, or of requests sent ahead
├── NotDelivered          502   a test message did not reach the other side
└── Unavailable           503   try again after ``retry_after_seconds``
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class ItemError:
    """One broken item of a body: where (RFC 6901 pointer) and a stable code; never its content."""

    pointer: str
    code: str


class ServiceError(Exception):
    """Base of every error a caller can act on; carries status, code and retry advice."""

    status: ClassVar[int] = 500
    code: str = "internal"
    title: ClassVar[str] = "Internal error"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        errors: tuple[ItemError, ...] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors
        self.retry_after_seconds = retry_after_seconds
        if code is not None:
            self.code = code


class Unreadable(ServiceError):
    """The body cannot be parsed at all."""

    status = 400
    code = "unreadable"
    title = "The body cannot be read"


class Unauthorized(ServiceError):
    """Nobody knows who asks: no key, or one that opens nothing."""

    status = 401
    code = "unauthorized"
    title = "Who asks is not known"


class Forbidden(ServiceError):
    """Who asks is known, and may not do this."""

    status = 403
    code = "forbidden"
    title = "Not allowed"


class NotFound(ServiceError):
    """The thing addressed does not exist for this caller."""

    status = 404
    code = "not-found"
    title = "Not found"


class MethodNotAllowed(ServiceError):
    """The address exists, and has other methods."""

    status = 405
    code = "method-not-allowed"
    title = "Method not allowed"

    def __init__(self, allowed: Collection[str]) -> None:
        self.allowed = ", ".join(sorted(allowed))
        super().__init__(f"this address allows {self.allowed}; GET /docs lists every route")


class TooSlow(ServiceError):
    """The head of a request did not come in time."""

    status = 408
    code = "too-slow"
    title = "The request did not come in time"


class Conflict(ServiceError):
    """The same identity was already used with another body."""

    status = 409
    code = "conflict"
    title = "Conflict with what is stored"


class UnknownLayers(Conflict):
    """The frame names a layer table the run does not have: send it with ``POST /runs``."""

    code = "unknown-layers"
    title = "Unknown layer table"


class TooLarge(ServiceError):
    """The body is over a limit."""

    status = 413
    code = "too-large"
    title = "Too large"


class UnsupportedMedia(ServiceError):
    """A media type or content encoding the service does not read."""

    status = 415
    code = "unsupported-media"
    title = "Unsupported media type or encoding"


class Invalid(ServiceError):
    """The body can be read but breaks the contract."""

    status = 422
    code = "invalid"
    title = "The body breaks the contract"


class TooManyRequests(ServiceError):
    """The caller asks more often than it may."""

    status = 429
    code = "too-many-requests"
    title = "Too many requests"
    retryable = True


class NotDelivered(ServiceError):
    """What was to be sent to somebody else did not arrive there; the detail says why."""

    status = 502
    code = "not-delivered"
    title = "The message was not delivered"


class HeadTooLarge(ServiceError):
    """The head of a request is over a limit."""

    status = 431
    code = "head-too-large"
    title = "The head of the request is too large"


class Unavailable(ServiceError):
    """The service cannot take this now; the same request will succeed later."""

    status = 503
    code = "unavailable"
    title = "Temporarily unavailable"
    retryable = True
