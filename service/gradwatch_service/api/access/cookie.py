"""The cookie of a session, as it is set, found again, and taken away."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from gradwatch_service.settings import Settings


def token_in(headers: Mapping[bytes, bytes], name: bytes) -> bytes | None:
    """The token that a browser sends."""
    for pair in headers.get(b"cookie", b"").split(b";"):
        key, _, value = pair.strip().partition(b"=")
        if key == name:
            return value
    return None


def put(answer: Response, settings: Settings, token: str, seconds: int) -> None:
    """Have the browser keep the token where scripts and other sites do not get at it."""
    answer.set_cookie(
        settings.cookie_name,
        token,
        max_age=seconds,
        path="/",
        secure=settings.needs_key,
        httponly=True,
        samesite="lax",
    )


def remove(answer: Response, settings: Settings) -> None:
    """Have the browser forget it."""
    answer.delete_cookie(
        settings.cookie_name,
        path="/",
        secure=settings.needs_key,
        httponly=True,
        samesite="lax",
    )
