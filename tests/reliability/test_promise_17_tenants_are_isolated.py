"""Every route by everybody who may ask, for what is theirs, another's, or not there: no surprise.

What is expected follows from what the routes declare (``api/access/policy.py``); ``ASKED`` says how
each is asked. A route that is not in it fails here, one without a policy fails the start.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgpack
import numpy as np
import pytest
from fastapi import APIRouter

from gradwatch_service.api import alerts
from gradwatch_service.api.access.policy import Entry, Owner, Policy, PolicyError, allows
from gradwatch_service.app import create_app
from gradwatch_service.store.database import make_engine
from tests.databases import POSTGRES, TEMPLATE, PostgresServer
from tests.servers import Server, poll
from tests.tenants import (
    BROWSER,
    CHANNEL,
    EXPLODING,
    MISSING,
    SILENCE,
    A,
    B,
    Belongings,
    Caller,
    Keyring,
    bearer,
    members,
    new_channel,
    new_run,
    strangers,
)

PREFIX = "/api/v1"
KEYED = {
    "GRADWATCH_REQUIRE_KEY": "true",
    "GRADWATCH_REQUESTS_PER_SECOND": "1000000",
    "GRADWATCH_REQUESTS_BURST": "1000000",
}
FRAME = msgpack.packb(
    {
        "steps": np.array([7], np.int64).tobytes(),
        "time": np.array([1.0]).tobytes(),
        "scalars": {"loss": np.array([0.5]).tobytes()},
    }
)


@dataclass(frozen=True)
class Ask:
    """Which scopes open a route (all: any key; anybody: none needed), and how to ask it rightly."""

    may: str
    json: Callable[[Belongings], Any] | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    success: Set[int] = frozenset({200, 201, 204})
    is_endless: bool = False  # it is begun, and not heard to an end


def at_once(value: object) -> Callable[[Belongings], Any]:
    return lambda _: value


def metrics_of(project: str) -> dict[str, Any]:
    """A request of OTLP that names a project."""
    named = {"key": "gradwatch.project", "value": {"stringValue": project}}
    point = {"asDouble": 1.0, "timeUnixNano": "1700000000000000000"}
    scopes = [{"metrics": [{"name": "loss", "gauge": {"dataPoints": [point]}}]}]
    return {"resourceMetrics": [{"resource": {"attributes": [named]}, "scopeMetrics": scopes}]}


ASKED: Mapping[str, Ask] = {
    "GET /healthz": Ask("anybody"),
    "GET /readyz": Ask("anybody"),
    "GET /openapi.json": Ask("anybody"),
    "GET /docs": Ask("anybody"),
    "GET /runs/{run_id}": Ask("read"),
    "GET /runs/{run_id}/parts": Ask("read"),
    "POST /api/v1/runs": Ask("ingest", json=lambda target: {"project": target.project}),
    "GET /api/v1/runs": Ask("read"),
    "GET /api/v1/runs/{run_id}": Ask("read"),
    "PATCH /api/v1/runs/{run_id}": Ask("admin", json=at_once({"name": "n"})),
    "DELETE /api/v1/runs/{run_id}": Ask("admin"),
    "GET /api/v1/runs/{run_id}/events": Ask("read"),
    "POST /api/v1/runs/{run_id}/events": Ask(
        "ingest", json=at_once({"events": [{"kind": "note"}]})
    ),
    "POST /api/v1/runs/{run_id}/finish": Ask("ingest", json=at_once({"state": "finished"})),
    "POST /api/v1/runs/{run_id}/steps": Ask("ingest", json=at_once(EXPLODING)),
    "PUT /api/v1/runs/{run_id}/writers/{writer}/frames/{seq}": Ask("ingest", content=FRAME),
    "GET /api/v1/runs/{run_id}/series": Ask("read", query={"metric": "loss"}),
    "GET /api/v1/runs/{run_id}/heatmap": Ask("read", query={"metric": "grad_norm"}),
    "GET /api/v1/runs/{run_id}/profile": Ask("read"),
    "GET /api/v1/runs/{run_id}/advice": Ask("ingest read"),
    # Of no alert: who may hand advice to the job is told so.
    "POST /api/v1/runs/{run_id}/advice/{advice_id}/hand": Ask("admin", success={404}),
    "GET /api/v1/runs/{run_id}/guard": Ask("ingest read"),
    "GET /api/v1/sparklines": Ask("read", query={"run": str(uuid.UUID(int=1))}),
    "GET /": Ask("read"),
    "GET /board/alerts": Ask("read"),
    "GET /board/runs": Ask("read"),
    "GET /board/rows": Ask("read"),
    "GET /api/v1/alerts": Ask("read"),
    "GET /api/v1/alerts/{alert_id}": Ask("read"),
    "GET /alerts": Ask("read"),
    "GET /alerts/rows": Ask("read"),
    "GET /alerts/silences": Ask("read"),
    "GET /alerts/silences/preview": Ask("read"),
    "GET /alerts/{alert_id}": Ask("read"),
    "GET /handbook": Ask("all"),
    "GET /handbook/{entry}": Ask("all"),
    "POST /api/v1/alerts/{alert_id}/acknowledge": Ask(
        "admin", json=at_once({}), success={200, 409}
    ),
    "POST /api/v1/alerts/{alert_id}/resolve": Ask("admin", json=at_once({})),
    "GET /api/v1/events": Ask("read", is_endless=True),
    "GET /api/v1/silences": Ask("read"),
    "POST /api/v1/silences": Ask(
        "admin", json=lambda target: SILENCE | {"project": target.project}
    ),
    "DELETE /api/v1/silences/{silence_id}": Ask("admin"),
    "GET /metrics": Ask("read"),
    "GET /signin": Ask("anybody"),
    "GET /favicon.ico": Ask("anybody"),
    "GET /static/{made}/{name}": Ask("anybody"),
    "GET /api/v1/projects/{project}/rules": Ask("read"),
    "PUT /api/v1/projects/{project}/rules": Ask("admin", json=at_once({"settings": {}})),
    "POST /api/v1/projects/{project}/rules/backtest": Ask("read", json=at_once({"settings": {}})),
    "GET /api/v1/projects": Ask("read"),
    "GET /api/v1/projects/{project}/audit": Ask("admin"),
    "GET /settings": Ask("read", success={303}),
    "GET /settings/{project}/channels": Ask("read"),
    "GET /settings/{project}/keys": Ask("read"),
    "GET /settings/{project}/rules": Ask("read"),
    "GET /settings/{project}/audit": Ask("read"),
    "GET /api/v1/projects/{project}/keys": Ask("admin"),
    "POST /api/v1/projects/{project}/keys": Ask(
        "admin", json=at_once({"name": "k", "scopes": ["read"]})
    ),
    "POST /api/v1/projects/{project}/keys/{key_id}/rotate": Ask("admin", json=at_once({})),
    "DELETE /api/v1/projects/{project}/keys/{key_id}": Ask("admin"),
    "GET /api/v1/projects/{project}/channels": Ask("read"),
    "POST /api/v1/projects/{project}/channels": Ask("admin", json=at_once(CHANNEL)),
    "PATCH /api/v1/projects/{project}/channels/{channel_id}": Ask(
        "admin", json=at_once({"name": "n"})
    ),
    "DELETE /api/v1/projects/{project}/channels/{channel_id}": Ask("admin"),
    "POST /api/v1/projects/{project}/channels/{channel_id}/test": Ask("admin", success={502}),
    "GET /api/v1/projects/{project}/deliveries": Ask("read"),
    # There is no dead letter: who may replay one is told so.
    "POST /api/v1/projects/{project}/deliveries/{delivery_id}/replay": Ask("admin", success={404}),
    "POST /v1/metrics": Ask("ingest", json=lambda target: metrics_of(target.project)),
    "GET /api/v1/session": Ask("all"),
    "DELETE /api/v1/session": Ask("all"),
}
# Few tries a minute are let in from one address: tests/service/api/test_session.py.
ASKED_ELSEWHERE = {"POST /api/v1/session"}
# These end what they are asked for; each time there has to be another.
ENDS_RUN = "DELETE /api/v1/runs/{run_id}"
ENDS_CHANNEL = "DELETE /api/v1/projects/{project}/channels/{channel_id}"
ENDS_SESSION = "DELETE /api/v1/session"


def name_of(entry: Entry) -> str:
    return f"{entry.method} {entry.path}"


ENTRIES = [entry for entry in create_app().state.policies.entries if entry.method != "HEAD"]


@dataclass
class World:
    """A server that asks for keys, what there is on it, and everybody."""

    server: Server
    http: httpx.Client
    ring: Keyring
    belongings: Mapping[str, Belongings]
    strangers: list[Caller]
    members: list[Caller]

    def ask(self, entry: Entry, caller: Caller, target: Belongings) -> httpx.Response:
        asked = ASKED[name_of(entry)]
        path = entry.path.format(**self.parameters(entry, target))
        headers = dict(caller.headers)
        if asked.content is not None:
            headers["content-type"] = "application/msgpack"
        body = {} if asked.json is None else {"json": asked.json(target)}
        request = self.http.build_request(
            entry.method,
            f"{self.server.url}{path}",
            params=asked.query,
            content=asked.content,
            headers=headers,
            **body,
        )
        answer = self.http.send(request, stream=True)
        if not asked.is_endless or answer.is_error:
            answer.read()
        answer.close()
        return answer

    def parameters(self, entry: Entry, target: Belongings) -> dict[str, str]:
        found = {"writer": "w", "seq": "0", "project": target.project, "key_id": "none"}
        found |= {"run_id": target.run_id, "alert_id": target.alert_id}
        found |= {"channel_id": target.channel_id, "silence_id": target.silence_id}
        found["delivery_id"] = found["advice_id"] = str(uuid.uuid4())
        found |= {"entry": "plateau", "made": "before", "name": "icon.svg"}
        exists = target.project != MISSING
        if exists and name_of(entry) == ENDS_RUN:
            headers = self.ring.bearer(target.project, "ingest")
            found["run_id"] = new_run(target.project, headers, self.http)
        if exists and name_of(entry) == ENDS_CHANNEL:
            headers = self.ring.bearer(target.project, "admin")
            found["channel_id"] = new_channel(target.project, headers, self.http)
        if exists and "{key_id}" in entry.path:
            found["key_id"] = self.ring.issue(target.project, "read").key.key_id
        return found


@pytest.fixture(scope="module", params=["sqlite", POSTGRES])
def world_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A migrated database for all tests of this module: they only add to it."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("tenants") / "gradwatch.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    postgres: PostgresServer = request.getfixturevalue("postgres")
    yield postgres.create("tenants", TEMPLATE)
    postgres.drop("tenants")


@pytest.fixture(scope="module")
def world(world_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    log = tmp_path_factory.mktemp("log") / "server.log"
    server = Server(world_url, log, environment=KEYED).start()
    engine = make_engine(world_url)
    ring = Keyring(engine)
    with httpx.Client(base_url=server.api, timeout=30, trust_env=False) as http:
        own = {project: Belongings.of(project, ring, http) for project in (A, B)}
        own[MISSING] = Belongings.nowhere()
        yield World(server, http, ring, own, strangers(ring), members(ring, http))
    engine.dispose()
    server.kill()


def expected(entry: Entry, caller: Caller, target: Belongings) -> Set[int]:
    """The statuses that the policy of a route allows."""
    policy, success = entry.policy, ASKED[name_of(entry)].success
    if policy.scopes is None:
        return success
    if caller.project is None:
        return {401}
    if policy.scopes and not policy.scopes & caller.scopes:
        return {403}
    if target.project == caller.project or policy.owner in (Owner.NOBODY, Owner.LIST):
        return success
    return {403} if policy.owner is Owner.BODY else {404}


def test_every_route_says_who_may_use_it_and_is_asked_here():
    said = {name_of(entry): words_of(entry.policy) for entry in ENTRIES}
    wanted = {name: asked.may for name, asked in ASKED.items()}
    assert said == wanted | dict.fromkeys(ASKED_ELSEWHERE, "anybody")


def words_of(policy: Policy) -> str:
    if policy.scopes is None:
        return "anybody"
    return " ".join(sorted(policy.scopes)) or "all"


@pytest.mark.timeout(600)
@pytest.mark.sqlite_in_brief
def test_nobody_gets_what_is_anothers_from_any_route(world: World):
    surprises = []
    asked = 0
    for entry in ENTRIES:
        if name_of(entry) in ASKED_ELSEWHERE | {ENDS_SESSION}:
            continue
        for caller in (*world.strangers, *world.members):
            for target in world.belongings.values():
                answer = world.ask(entry, caller, target)
                asked += 1
                if answer.status_code not in expected(entry, caller, target):
                    what = (name_of(entry), caller.name, target.project, answer.status_code)
                    surprises.append((*what, answer.is_error and answer.text[:200]))
    assert not surprises
    assert asked >= 43 * 16 * 3


@pytest.mark.timeout(600)
def test_what_is_foreign_and_what_is_missing_are_answered_alike(world: World):
    by_id = {Owner.RUN, Owner.ALERT, Owner.SILENCE, Owner.PATH, Owner.WRITER}
    foreign, missing = world.belongings[B], world.belongings[MISSING]
    for entry in ENTRIES:
        if entry.policy.owner not in by_id:
            continue
        for caller in world.members:
            if caller.project == A:
                told = [told_of(world, entry, caller, target) for target in (foreign, missing)]
                assert told[0] == told[1], (name_of(entry), caller.name)


def told_of(world: World, entry: Entry, caller: Caller, target: Belongings) -> tuple[object, ...]:
    answer = world.ask(entry, caller, target)
    body = answer.json()
    detail = body.pop("detail")
    for identity in (target.run_id, target.alert_id, target.silence_id, target.project):
        detail = detail.replace(identity, "…")
    body.pop("instance")
    names = sorted(name for name in answer.headers if name != "date")
    return answer.status_code, body, detail.partition(" run ")[0], names


def test_lists_show_what_is_ones_own_whatever_is_asked_for(world: World):
    for caller in world.members:
        if "read" not in caller.scopes:
            continue
        other = world.belongings[B if caller.project == A else A]
        for path in ("/runs", "/alerts", "/silences"):
            items = world.http.get(path, headers=caller.headers).json()["items"]
            assert {item["project"] for item in items} == {caller.project}
            for project in (other.project, MISSING):
                answer = world.http.get(path, params={"project": project}, headers=caller.headers)
                assert answer.status_code == 404
        found = world.http.get("/alerts", params={"run": other.run_id}, headers=caller.headers)
        assert found.json()["items"] == []
        text = world.http.get(f"{world.server.url}/metrics", headers=caller.headers).text
        assert f'project="{caller.project}"' in text
        assert f'project="{other.project}"' not in text
        seen = world.http.get("/projects", headers=caller.headers).json()["items"]
        assert [item["name"] for item in seen] == [caller.project]


def test_a_key_of_another_project_is_out_of_reach_through_ones_own(world: World):
    headers = world.ring.bearer(A, "admin")
    victim = world.ring.issue(B, "read")
    path = f"/projects/{A}/keys/{victim.key.key_id}"
    assert world.http.delete(path, headers=headers).status_code == 404
    assert world.http.post(f"{path}/rotate", json={}, headers=headers).status_code == 404
    assert world.http.get("/runs", headers=bearer(victim.text)).status_code == 200


def test_the_id_of_a_foreign_run_opens_no_run_and_tells_no_project(world: World):
    body = {"project": A, "id": world.belongings[B].run_id}
    answer = world.http.post("/runs", json=body, headers=world.ring.bearer(A, "ingest"))
    assert answer.status_code == 409
    assert "project" not in answer.json()["detail"]


def test_a_run_that_was_deleted_and_made_again_belongs_to_its_new_project(world: World):
    admins = {project: world.ring.bearer(project, "admin") for project in (A, B)}
    run_id = new_run(A, admins[A], world.http)
    push = {"content": FRAME, "headers": {"content-type": "application/msgpack", **admins[A]}}
    path = f"/runs/{run_id}/writers/w/frames/0"
    assert world.http.put(path, **push).status_code == 201
    assert world.http.delete(f"/runs/{run_id}", headers=admins[A]).status_code == 204
    body = {"project": B, "id": run_id}
    assert world.http.post("/runs", json=body, headers=admins[B]).status_code == 201
    assert world.http.put(path, **push).status_code == 404
    assert world.http.get(f"/runs/{run_id}", headers=admins[A]).status_code == 404
    assert world.http.get(f"/runs/{run_id}", headers=admins[B]).json()["last_step"] is None


def test_a_revoked_key_and_its_sessions_open_nothing_after_five_seconds(world: World):
    issued = world.ring.issue(A, "admin")
    answer = world.http.post("/session", json={"key": issued.text})
    token = answer.cookies["__Host-gradwatch"]
    world.http.cookies.clear()
    ways = [bearer(issued.text), {"cookie": f"__Host-gradwatch={token}"}]
    assert [world.http.get("/runs", headers=way).status_code for way in ways] == [200, 200]
    world.ring.revoke(issued.key.key_id)

    def are_out() -> bool:
        return {world.http.get("/runs", headers=way).status_code for way in ways} == {401}

    poll(are_out, "a revoked key opens nothing", deadline_seconds=5.0)


def test_a_page_of_another_site_can_do_nothing_with_a_session(world: World):
    session = next(one for one in world.members if one.name == "session of admin")
    cookie = {"cookie": session.headers["cookie"]}
    run_id = world.belongings[A].run_id
    elsewhere: list[dict[str, str]] = [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {},
    ]
    for headers in elsewhere:
        answer = world.http.delete(f"/runs/{run_id}", headers=cookie | headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "cross-site")
    own = [BROWSER, {"origin": world.server.url}]
    for headers in own:
        answer = world.http.patch(f"/runs/{run_id}", json={"name": "n"}, headers=cookie | headers)
        assert answer.status_code == 200


def test_in_local_mode_nobody_is_asked_and_keys_are_still_honoured(
    server: Server, http: httpx.Client, database_url: str
):
    engine = make_engine(database_url)
    ring = Keyring(engine)
    of_b = Belongings.of(B, ring, http)
    for entry in ENTRIES:
        if entry.policy.owner in (Owner.RUN, Owner.ALERT) and name_of(entry) != ENDS_RUN:
            asked = ASKED[name_of(entry)]
            names = {"run_id": of_b.run_id, "alert_id": of_b.alert_id}
            path = entry.path.format(**names, advice_id=uuid.uuid4())
            body = {} if asked.json is None else {"json": asked.json(of_b)}
            answer = http.request(entry.method, server.url + path, params=asked.query, **body)
            assert answer.status_code in asked.success, name_of(entry)
    run = f"/runs/{of_b.run_id}"
    assert http.get(run, headers=ring.bearer(A, "admin")).status_code == 404
    assert http.get(run, headers=bearer("gw_nonsense")).status_code == 401
    answer = http.post(f"/projects/{B}/keys", json={"name": "k", "scopes": ["admin"]})
    assert (answer.status_code, answer.json()["code"]) == (403, "command-line-only")
    assert http.delete(run, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    answer = http.get(run, headers={"host": "rebound.example"})
    assert (answer.status_code, answer.json()["code"]) == (403, "host-not-allowed")
    assert http.delete(run).status_code == 204
    engine.dispose()


def test_a_route_that_does_not_say_who_may_use_it_fails_the_start(monkeypatch: pytest.MonkeyPatch):
    router = APIRouter()
    monkeypatch.setattr(alerts, "router", router)

    @router.get("/forgotten")
    def forgotten() -> None: ...

    with pytest.raises(PolicyError, match="GET /api/v1/forgotten does not say who may use it"):
        create_app()


def test_a_route_that_does_not_check_what_it_declares_fails_the_start(
    monkeypatch: pytest.MonkeyPatch,
):
    router = APIRouter()
    monkeypatch.setattr(alerts, "router", router)

    @router.get("/runs/{run_id}/secrets")
    @allows("read", of=Owner.RUN)
    def secrets(run_id: uuid.UUID) -> None: ...

    with pytest.raises(PolicyError, match="does not depend on own_run"):
        create_app()
