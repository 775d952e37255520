"""What every answer tells browsers: guess no types, tell nobody, show nothing in frames."""

from __future__ import annotations

from starlette.types import Message, Send

CONTENT_SECURITY_POLICY = "content-security-policy"
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    CONTENT_SECURITY_POLICY: "default-src 'none'; frame-ancestors 'none'",
}
NOT_KEPT = {"Cache-Control": "no-store"}  # for answers with secrets

_POLICY = CONTENT_SECURITY_POLICY.encode()
_RAW = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
_WITHOUT_POLICY = [pair for pair in _RAW if pair[0] != _POLICY]


def with_headers(send: Send) -> Send:
    """Send with these headers; a page's own content security policy stays."""

    async def send_with(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = message["headers"]
            has_policy = _POLICY in [name for name, _ in own]
            message["headers"] = [*own, *(_WITHOUT_POLICY if has_policy else _RAW)]
        await send(message)

    return send_with
