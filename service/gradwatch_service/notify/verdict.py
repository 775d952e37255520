"""What the answer to a message means: taken, worth trying again, or a channel to be mended."""

from __future__ import annotations

import datetime as dt
import email.utils
import re
from collections.abc import Mapping
from http import HTTPStatus

from gradwatch_service.clock import utc_now
from gradwatch_service.notify.channel import UndeliveredError
from gradwatch_service.notify.outgoing import Answer

RETRY_AFTER_SECONDS_MAX = 86_400.0
# 4xx that pass by themselves: a request timeout, too early, too many requests.
TRANSIENT = frozenset({408, 425, 429})

# Slack and those who follow it say in one word what is wrong.
_WORD = re.compile(rb"\s*([a-z]{2,20}(_[a-z]{2,20}){1,4})\s*")


def require_taken(answer: Answer) -> None:
    """Return if the other side has taken it.

    Raises:
        UndeliveredError: it has not; permanent where the same again would fail again.
    """
    status = answer.status
    if 200 <= status < 300:
        return
    said = f"the receiver answered {status} {_phrase(status)}"
    if 300 <= status < 400:
        raise UndeliveredError(f"{said}; redirects are not followed", permanent=True)
    word = _WORD.fullmatch(answer.body)
    raise UndeliveredError(
        f"{said}: {word[1].decode()}" if word else said,
        permanent=400 <= status < 500 and status not in TRANSIENT,
        retry_after_seconds=retry_after_seconds(answer.headers, utc_now()),
    )


def retry_after_seconds(headers: Mapping[str, str], now: dt.datetime) -> float | None:
    """What ``Retry-After`` asks for, as seconds or as a date; None: nothing that can be read."""
    asked = headers.get("retry-after", "").strip()
    if asked.isascii() and asked.isdecimal() and len(asked) < 10:
        return min(float(asked), RETRY_AFTER_SECONDS_MAX)
    try:
        until = email.utils.parsedate_to_datetime(asked)
    except ValueError:
        return None
    if until.tzinfo is None:
        return None
    return min(max((until - now).total_seconds(), 0.0), RETRY_AFTER_SECONDS_MAX)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
