"""Two projects with everything that routes can be asked for, and everybody who may ask."""

from __future__ import annotations

import datetime as dt
import uuid
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx
from sqlalchemy import Engine

from gradwatch_service.clock import utc_now
from gradwatch_service.store import keys
from gradwatch_service.store.database import for_writing
from gradwatch_service.store.key_text import new_key
from gradwatch_service.store.keys import Admin, Issued, KeyRequest

A, B, MISSING = "tenant-a", "tenant-b", "tenant-nobody"
BROWSER = {"sec-fetch-site": "same-origin"}
SILENCE = {"matchers": [{"name": "cause", "value": "plateau"}], "duration": "2h"}
CHANNEL = {  # the name is reserved: nothing has it
    "kind": "slack",
    "name": "c",
    "settings": {"url": "https://hooks.invalid/services/T0/B0/s3cret"},
}
EXPLODING = {
    "steps": [
        {"step": 1, "loss": 1.0, "layers": {"fc": {"grad_norm": 1.0}}},
        {"step": 2, "loss": 1.0, "layers": {"fc": {"grad_norm": "NaN"}}},
    ]
}


@dataclass(frozen=True)
class Caller:
    """Somebody who asks; ``project`` None: a stranger. ``headers`` say who it is."""

    name: str
    project: str | None = None
    scopes: frozenset[str] = frozenset()
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Keyring:
    """Makes keys, past the API."""

    engine: Engine

    def issue(self, project: str, *scopes: str, days: float = 1.0) -> Issued:
        now = utc_now()
        request = KeyRequest(project, f"{project} {scopes}", scopes, now + dt.timedelta(days=days))
        with for_writing(self.engine).begin() as connection:
            return keys.create(connection, request, Admin("test", None, now))

    def revoke(self, key_id: str) -> None:
        with for_writing(self.engine).begin() as connection:
            keys.revoke(connection, key_id, Admin("test", None, utc_now()))

    def bearer(self, project: str, *scopes: str, days: float = 1.0) -> dict[str, str]:
        return bearer(self.issue(project, *scopes, days=days).text)


def bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}"}


def strangers(ring: Keyring) -> list[Caller]:
    """Everybody who is to be let in nowhere."""
    revoked = ring.issue(A, "admin")
    ring.revoke(revoked.key.key_id)
    good = ring.issue(A, "admin").text
    return [
        Caller("nobody"),
        Caller("an unknown key", headers=bearer(new_key().text)),
        Caller("a key with a typing mistake", headers=bearer(good[:-1] + "-")),
        Caller("a key with another's secret", headers=bearer(_crossed(good, new_key().text))),
        Caller("an expired key", headers=ring.bearer(A, "admin", days=-1.0)),
        Caller("a revoked key", headers=bearer(revoked.text)),
        Caller("another scheme", headers={"authorization": "Basic Z3c6Z3c="}),
        Caller("a cookie of nobody", headers={"cookie": "__Host-gradwatch=x", **BROWSER}),
    ]


def members(ring: Keyring, http: httpx.Client) -> list[Caller]:
    """Keys with each scope for each project, and people who are signed in."""
    found = [
        Caller(f"{scope} of {project}", project, frozenset(scopes), ring.bearer(project, scope))
        for project in (A, B)
        for scope, scopes in (
            ("ingest", {"ingest"}),
            ("read", {"read"}),
            ("admin", {"ingest", "read", "admin"}),
        )
    ]
    for scope in ("read", "admin"):
        answer = http.post("/session", json={"key": ring.issue(A, scope).text})
        assert answer.status_code == 201
        token = answer.cookies["__Host-gradwatch"]
        http.cookies.clear()
        headers = {"cookie": f"__Host-gradwatch={token}", **BROWSER}
        scopes = frozenset({"ingest", "read", "admin"} if scope == "admin" else {"read"})
        found.append(Caller(f"session of {scope}", A, scopes, headers))
    return found


@dataclass(frozen=True)
class Belongings:
    """What one project owns."""

    project: str
    run_id: str
    alert_id: str
    channel_id: str
    silence_id: str

    @staticmethod
    def of(project: str, ring: Keyring, http: httpx.Client) -> Belongings:
        headers = ring.bearer(project, "admin")
        run_id = new_run(project, headers, http)
        assert http.post(f"/runs/{run_id}/steps", json=EXPLODING, headers=headers).is_success
        found = http.get("/alerts", params={"run": run_id}, headers=headers).json()["items"]
        channel_id = new_channel(project, headers, http)
        silence = http.post("/silences", json=SILENCE | {"project": project}, headers=headers)
        return Belongings(project, run_id, found[0]["id"], channel_id, silence.json()["id"])

    @staticmethod
    def nowhere() -> Belongings:
        """Names of nothing."""
        return Belongings(MISSING, *(str(uuid.uuid4()) for _ in range(4)))


def new_run(project: str, headers: Mapping[str, str], http: httpx.Client) -> str:
    answer = http.post("/runs", json={"project": project}, headers=headers)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def new_channel(project: str, headers: Mapping[str, str], http: httpx.Client) -> str:
    answer = http.post(f"/projects/{project}/channels", json=CHANNEL, headers=headers)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def _crossed(one: str, other: str) -> str:
    """The id of one key with the secret of another, and the checksum right."""
    from_one, from_other = one.split("_")[1], other.split("_")[2]
    body = f"gw_{from_one}_{from_other[:32]}"
    return body + checksum(body)


def checksum(body: str) -> str:
    """What a key must end with, worked out on its own: CRC-32 in base 62, six letters."""
    letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    number = zlib.crc32(body.encode())
    return "".join(letters[number // 62**place % 62] for place in range(5, -1, -1))
