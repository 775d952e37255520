"""Keys over the API, and the door that they open: the application asks everybody for one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from gradwatch_service.api.access.headers import HEADERS
from tests.service.api.conftest import Api, problem, served
from tests.tenants import Keyring, bearer

KEYS = "/projects/lm/keys"


@pytest.fixture
def keyed(tmp_path: Path) -> Iterator[Api]:
    with served(tmp_path, require_key=True) as api:
        yield api


def ring(api: Api) -> Keyring:
    return Keyring(api.app.state.backend.engine)


def admin(api: Api) -> dict[str, str]:
    return ring(api).bearer("lm", "admin")


def ask(api: Api, method: str, path: str, key: dict[str, str], **options) -> httpx.Response:
    headers = {"content-type": "application/json", **key}
    return api.send(method, path, headers=headers, **options)


async def unreadable() -> AsyncIterator[bytes]:
    raise AssertionError("the body was read")
    yield b""


def test_a_key_is_made_shown_once_used_rotated_and_revoked(keyed: Api):
    boss = admin(keyed)
    body = {"name": "job", "scopes": ["ingest"], "expires_in_days": 30}
    made = ask(keyed, "POST", KEYS, boss, json=body)
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    key = made.json()
    assert key["key"].startswith(f"gw_{key['key_id']}_")
    assert (key["state"], key["scopes"], key["project"]) == ("active", ["ingest"], "lm")
    listed = ask(keyed, "GET", KEYS, boss)
    assert key["key"] not in listed.text
    assert listed.json()["items"][0]["key_id"] == key["key_id"]
    job = bearer(key["key"])
    assert ask(keyed, "POST", "/runs", job, json={"project": "lm"}).status_code == 201
    path = f"{KEYS}/{key['key_id']}"
    new = ask(keyed, "POST", f"{path}/rotate", boss, json={"grace_seconds": 60}).json()
    assert (new["name"], new["scopes"]) == ("job", ["ingest"])
    both = (job, bearer(new["key"]))
    assert [ask(keyed, "GET", "/session", one).status_code for one in both] == [200, 200]
    for _ in range(2):
        assert ask(keyed, "DELETE", path, boss).status_code == 204
    states = {
        item["key_id"]: item["state"] for item in ask(keyed, "GET", KEYS, boss).json()["items"]
    }
    assert states[key["key_id"]] == "revoked"
    assert problem(ask(keyed, "POST", f"{path}/rotate", boss, json={})) == (409, "conflict")


def test_what_is_done_is_in_the_audit_log(keyed: Api):
    boss = admin(keyed)
    run = ask(keyed, "POST", "/runs", boss, json={"project": "lm"}).json()["id"]
    assert ask(keyed, "DELETE", f"/runs/{run}", boss).status_code == 204
    items = ask(keyed, "GET", "/projects/lm/audit", boss).json()["items"]
    assert (items[0]["act"], items[0]["target"]) == ("run-deleted", run)
    assert items[0]["actor"].startswith("lm ('admin',) (")
    assert items[-1]["act"] == "key-made"


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["root"]},
        {"name": "", "scopes": ["read"]},
        {"scopes": ["read"]},
        {"name": "x", "scopes": ["read"], "expires_in_days": 0},
        {"name": "x", "scopes": ["read"], "expires_in_days": 0.5},
        {"name": "x", "scopes": ["read"], "project": "other"},
    ],
)
def test_a_key_that_makes_no_sense_is_refused(keyed: Api, body):
    assert problem(ask(keyed, "POST", KEYS, admin(keyed), json=body)) == (422, "invalid")


def test_a_key_may_be_made_to_last(keyed: Api):
    body = {"name": "x", "scopes": ["read"], "expires_in_days": None}
    assert ask(keyed, "POST", KEYS, admin(keyed), json=body).json()["expires_at"] is None


def test_a_number_is_whole_however_it_is_written(keyed: Api):
    body = {"name": "x", "scopes": ["read"], "expires_in_days": 1.0}
    assert ask(keyed, "POST", KEYS, admin(keyed), json=body).status_code == 201


def test_whoever_is_not_known_is_told_how_to_ask(keyed: Api):
    answer = keyed.get("/runs")
    assert problem(answer) == (401, "no-key")
    assert answer.headers["www-authenticate"] == 'Bearer realm="gradwatch"'
    assert "Authorization: Bearer" in answer.json()["detail"]


def test_health_is_nobodys_secret(keyed: Api):
    for path in ("/healthz", "/readyz", "/openapi.json", "/docs"):
        assert keyed.send("GET", f"http://test{path}").status_code == 200


def test_an_address_that_does_not_exist_is_told_only_to_those_who_are_known(keyed: Api):
    assert problem(keyed.get("/nonsense")) == (401, "no-key")
    boss = admin(keyed)
    assert problem(ask(keyed, "GET", "/nonsense", boss)) == (404, "not-found")


def test_the_methods_of_an_address_are_nobodys_secret(keyed: Api):
    for key in ({}, admin(keyed)):
        answer = ask(keyed, "PUT", "/runs", key, content=unreadable())
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")


def test_a_body_is_not_read_before_it_is_known_who_sends_it(keyed: Api):
    reader = ring(keyed).bearer("lm", "read")
    for key, status in (({}, 401), (reader, 403)):
        assert ask(keyed, "POST", "/runs", key, content=unreadable()).status_code == status


def test_whoever_sends_too_much_is_told_when_to_come_again(tmp_path: Path):
    with served(
        tmp_path, require_key=True, requests_per_second=0.5, requests_burst=3, bytes_per_second=100
    ) as api:
        fast, other = (ring(api).bearer("lm", "read") for _ in range(2))
        statuses = [ask(api, "GET", "/runs", fast).status_code for _ in range(4)]
        assert statuses == [200, 200, 200, 429]
        answer = ask(api, "GET", "/runs", fast)
        assert problem(answer) == (429, "too-many-requests")
        assert int(answer.headers["retry-after"]) >= 1
        assert ask(api, "GET", "/runs", other).status_code == 200
        large = ring(api).bearer("lm", "ingest")
        sent = [ask(api, "POST", "/runs", large, content=b" " * 601) for _ in range(2)]
        assert problem(sent[0]) == (400, "unreadable")  # larger than any burst: once
        assert problem(sent[1]) == (429, "too-many-requests")


def test_bytes_that_nobody_announced_count_for_the_next_request(tmp_path: Path):
    async def body():
        yield b" " * 2_000

    with served(
        tmp_path,
        require_key=True,
        requests_per_second=100,
        requests_burst=100,
        bytes_per_second=500,
    ) as api:
        key = ring(api).bearer("lm", "ingest")
        assert ask(api, "POST", "/runs", key, content=body()).status_code == 400
        assert ask(api, "POST", "/runs", key, content=b"{}").status_code == 429


def test_in_local_mode_nobody_is_slowed_down(tmp_path: Path):
    with served(tmp_path, requests_per_second=0.5, requests_burst=1) as api:
        key = ring(api).bearer("lm", "read")
        assert {ask(api, "GET", "/runs", key).status_code for _ in range(5)} == {200}


def test_every_answer_tells_browsers_what_not_to_do(keyed: Api):
    boss = admin(keyed)
    answers = [
        keyed.get("/runs"),
        ask(keyed, "GET", "/runs", boss),
        ask(keyed, "GET", "/nonsense", boss),
        keyed.send("GET", "http://test/healthz"),
        _defect(keyed, boss),
    ]
    assert [answer.status_code for answer in answers] == [401, 200, 404, 200, 500]
    for answer in answers:
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    page = keyed.send("GET", "http://test/docs")
    assert page.headers["content-security-policy"].endswith("frame-ancestors 'none'")
    assert page.headers["x-content-type-options"] == "nosniff"


def _defect(api: Api, key: dict[str, str]) -> httpx.Response:
    """An answer of an application that is broken behind the door."""
    api.app.state.backend.writer.judge = None
    quiet = httpx.ASGITransport(api.app, raise_app_exceptions=False)

    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=quiet, base_url="http://test/api/v1") as http:
            run = await http.post("/runs", json={"project": "lm"}, headers=key)
            return await http.get(f"/runs/{run.json()['id']}", headers=key)

    try:
        return api.portal.call(send)
    finally:
        del api.app.state.backend.writer.judge


def test_many_who_ask_at_once_are_all_known(keyed: Api):
    boss = admin(keyed)

    async def crowd() -> list[int]:
        asked = (keyed.client.get("/session", headers=boss) for _ in range(50))
        return [answer.status_code for answer in await asyncio.gather(*asked)]

    assert set(keyed.portal.call(crowd)) == {200}
