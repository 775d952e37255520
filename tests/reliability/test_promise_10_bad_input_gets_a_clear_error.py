"""Malformed requests of every kind on every route: never a 5xx, never a long answer."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx
import msgpack
import pytest

from tests.reliability.bad_bodies import FRAME, KINDS, MSGPACK, STRANGE, Body
from tests.reliability.counts import times
from tests.servers import Server

BODIES = times(1_000, 10_000)
QUERIES = times(300, 2_000)
LONGEST_ANSWER = 8_192
LEAST_REFUSED = 0.8  # some are right by chance, or wrong in a way that may be stored
STEP = {"step": 1, "time": 1.0, "loss": 0.5, "layers": {"fc": {"grad_norm": 1.0}}}
LAYER = {"name": "fc", "kind": "linear", "depth": 0, "shape": [2, 2], "normalised": True}
RIGHT: Mapping[str, Mapping[str, Any]] = {
    "POST /runs": {
        "project": "p", "name": "n", "config": {"lr": 0.1}, "tags": ["a"], "layers": [LAYER],
        "launch_id": "l", "resume_step": 3,
    },
    "PATCH /runs/{run}": {"name": "n", "tags": ["a", "b"]},
    "POST /runs/{run}/steps": {"steps": [STEP, STEP | {"step": 2}]},
    "POST /runs/{run}/events": {"events": [{"kind": "note", "step": 1, "text": "x"}]},
    "POST /runs/{run}/finish": {"state": "finished", "reason": "done"},
    "PUT /runs/{run}/writers/w/frames/{number}": {
        "steps": [0, 1], "time": [1.0, 2.0], "scalars": {"loss": [1.0, 0.5]},
        "profiles": {"time": [[1.0], [2.0]]}, "events": [{"kind": "note"}],
    },
}  # fmt: skip
QUERY: Mapping[str, tuple[str, ...]] = {
    "/runs": ("project", "health", "state", "cursor", "limit", "nonsense"),
    "/alerts": ("project", "run", "state", "severity", "rule", "cursor", "limit"),
    "/runs/{run}/series": ("metric", "layer", "from", "to", "points"),
    "/runs/{run}": ("nonsense",),
    "/runs/{run}/advice": ("nonsense",),
    "/runs/{run}/guard": ("nonsense",),
    "/alerts/{run}": ("nonsense",),
}
BAD_FRAME_PATHS = (
    "/runs/{run}/writers/%00/frames/0",
    "/runs/{run}/writers/w/frames/-1",
    "/runs/{run}/writers/w/frames/99999999999999999999",
    "/runs/{run}/writers/steps/frames/0",
    "/runs/{run}/writers/" + "w" * 2_000 + "/frames/0",
    "/runs/{run}/writers/%ff/frames/%ff",
    "/runs/none/writers/w/frames/0",
)


@pytest.fixture
def backend() -> str:
    return "sqlite"


def check(answer: httpx.Response, sent: object) -> None:
    assert answer.status_code < 500, (sent, answer.text)
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json", sent
        assert len(answer.content) <= LONGEST_ANSWER, sent
        assert answer.json()["status"] == answer.status_code


def send(http: httpx.Client, route: str, path: str, body: Body) -> httpx.Response:
    method = route.partition(" ")[0]
    headers = {"content-type": body.media, **body.headers}
    wire = {name: value.encode("latin-1") for name, value in headers.items()}
    return http.request(method, path, content=body.content, headers=wire)


@pytest.mark.timeout(600)
def test_malformed_bodies_of_every_kind_on_every_route_never_break_the_service(
    server: Server, http: httpx.Client
):
    chance, seen = random.Random(10), Counter[str]()
    run = http.post("/runs", json={"project": "bad"}).json()["id"]
    for number in range(BODIES):
        kind = KINDS[number % len(KINDS)]
        route = chance.choice(list(RIGHT))
        body = kind(chance, RIGHT[route])
        if body.media == MSGPACK:
            route = "PUT /runs/{run}/writers/w/frames/{number}"
        path = route.partition(" ")[2].format(run=run, number=number)
        answer = send(http, route, path, body)
        check(answer, (kind.__name__, route, body.content[:200]))
        seen[kind.__name__] += 1
        seen["refused"] += answer.status_code >= 400
    assert seen.keys() >= {kind.__name__ for kind in KINDS}
    assert seen["refused"] >= LEAST_REFUSED * BODIES
    assert http.get(f"/runs/{run}").json()["degraded"] is None
    assert http.get(f"{server.url}/readyz").status_code == 200


def test_malformed_addresses_and_queries_never_break_the_service(http: httpx.Client):
    chance = random.Random(11)
    run = http.post("/runs", json={"project": "bad"}).json()["id"]
    for _ in range(QUERIES):
        path, names = chance.choice(list(QUERY.items()))
        strange = [str(one).encode("utf-8", "replace")[:2_000] for one in STRANGE]
        pairs = [f"{chance.choice(names)}={quote(chance.choice(strange))}" for _ in range(2)]
        where = chance.choice([run, quote(chance.choice(strange), safe="") or "x"])
        address = f"{path.format(run=where)}?{'&'.join(pairs)}"
        check(http.get(address), address)


def test_a_frame_with_a_malformed_address_is_refused(http: httpx.Client):
    run = http.post("/runs", json={"project": "bad"}).json()["id"]
    body = Body(msgpack.packb(FRAME), MSGPACK)
    for path in BAD_FRAME_PATHS:
        answer = send(http, "PUT", path.format(run=run), body)
        check(answer, path)
        assert answer.status_code >= 400, path
