"""Signed webhooks after the Standard Webhooks specification: JSON that machines can trust."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import hmac
import json
from typing import Annotated, Any

from pydantic import AfterValidator, SecretStr
from pydantic_core import PydanticCustomError

from gradwatch_service.clock import utc_now
from gradwatch_service.notify.escape import plain
from gradwatch_service.notify.message import Message, Subject
from gradwatch_service.notify.options import Options, Secret, Url
from gradwatch_service.notify.outgoing import Outgoing
from gradwatch_service.notify.verdict import require_taken
from gradwatch_service.notify.words import words_of

PREFIX = "whsec_"
KEY_BYTES = range(24, 65)
ALERTS_MAX = 50


def _key(secret: SecretStr) -> SecretStr:
    try:
        key = key_of(secret)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) not in KEY_BYTES:
        raise PydanticCustomError(
            "bad-secret", "it must be whsec_ and 24 to 64 bytes in base64: openssl rand -base64 32"
        )
    return secret


Key = Annotated[Secret, AfterValidator(_key)]


class Settings(Options):
    """``secret`` signs; while it is exchanged, ``previous_secret`` signs too."""

    url: Url
    secret: Key
    previous_secret: Key | None = None


class Way:
    """Posts a message as JSON, with its id, the time and a signature for each secret."""

    def __init__(self, settings: Settings, outgoing: Outgoing) -> None:
        self._url = settings.url.get_secret_value()
        both = (settings.secret, settings.previous_secret)
        self._keys = [key_of(secret) for secret in both if secret is not None]
        self._outgoing = outgoing

    def deliver(self, message: Message) -> None:
        """Post one message."""
        content = json.dumps(body_of(message), ensure_ascii=False).encode()
        identity, at = str(message.delivery_id), int(utc_now().timestamp())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": identity,
            "webhook-timestamp": str(at),
            "webhook-signature": " ".join(sign(key, identity, at, content) for key in self._keys),
        }
        require_taken(self._outgoing.send("POST", self._url, headers, content))


def key_of(secret: SecretStr) -> bytes:
    """The bytes that sign."""
    text = secret.get_secret_value()
    if not text.startswith(PREFIX):
        raise ValueError
    return base64.b64decode(text.removeprefix(PREFIX), validate=True)


def sign(key: bytes, identity: str, at: int, content: bytes) -> str:
    """One signature, version 1 of the specification."""
    signed = f"{identity}.{at}.".encode() + content
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def body_of(message: Message) -> dict[str, Any]:
    """What docs/channels.md describes."""
    words = words_of(message)
    run = None if message.run_id is None else {"id": str(message.run_id), "name": message.run_name}
    return {
        "type": "test" if message.kind == "test" else f"alert.{message.kind}",
        "timestamp": rfc3339(message.at),
        "data": {
            "project": message.project,
            "run": run,
            "severity": message.severity.label,
            "repeats": message.repeats,
            "link": message.link,
            "title": words.title,
            "text": words.text(plain),
            "alerts": [_alert(subject) for subject in message.subjects[:ALERTS_MAX]],
            "alerts_count": len(message.subjects),
        },
    }


def _alert(subject: Subject) -> dict[str, Any]:
    return {
        "id": str(subject.alert_id),
        "run_id": str(subject.run_id),
        "run_name": subject.run_name,
        "rule": subject.rule,
        "cause": subject.cause,
        "confidence": subject.confidence,
        "severity": subject.severity.label,
        "state": "firing" if subject.is_firing else "resolved",
        "is_news": subject.is_news,
        "regressed": subject.regressed,
        "title": subject.title,
        "explanation": subject.explanation,
        "layers": [*subject.layers],
        "remedies": [*subject.remedies],
        "opened_step": subject.opened_step,
        "last_step": subject.last_step,
        "opened_at": rfc3339(subject.opened_at),
        "ended_at": None if subject.ended_at is None else rfc3339(subject.ended_at),
    }


def rfc3339(at: dt.datetime) -> str:
    """A time for machines."""
    return at.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
