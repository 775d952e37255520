"""A service in memory that honours the contract of ingest, behind the network seam."""

from __future__ import annotations

import hashlib
import json
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from gradwatch_service.domain import Frame, Layer, LayerTable
from gradwatch_service.errors import Invalid
from gradwatch_service.store.packing import unpack

FRAME = re.compile(r"/api/v1/runs/([^/]+)/writers/([^/]+)/frames/(\d+)")
FINISH = re.compile(r"/api/v1/runs/([^/]+)/finish")

Fault = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response | None]


def problem(status: int, code: str = "", **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"code": code, "detail": "as asked"}, headers=headers)


@dataclass
class Stored:
    run: str
    writer: str
    seq: int
    body: bytes
    frame: Frame


@dataclass
class MemoryService:
    """``faults`` are used up first, one a request; then the contract holds."""

    faults: deque[Fault] = field(default_factory=deque)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    tables: dict[str, set[str]] = field(default_factory=dict)
    stored: list[Stored] = field(default_factory=list)
    ended: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: list[tuple[str, str, int]] = field(default_factory=list)
    headers: list[httpx.Headers] = field(default_factory=list)
    max_bytes: int = 4 << 20
    health: str = "ok"
    guard: dict[str, Any] = field(default_factory=dict)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    advice: list[dict[str, Any]] = field(default_factory=list)

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self)

    @property
    def steps(self) -> list[int]:
        """All steps in the order in which they were stored."""
        return [int(step) for item in self.stored for step in item.frame.steps]

    @property
    def events(self) -> list[dict[str, Any]]:
        return [dict(event) for item in self.stored for event in item.frame.events]

    @property
    def seqs(self) -> list[int]:
        return [item.seq for item in self.stored]

    def scalar(self, name: str) -> list[float]:
        """A scalar of all steps; NaN where it was not measured."""
        nothing = [float("nan")]
        frames = [item.frame for item in self.stored]
        return [float(v) for f in frames for v in f.scalars.get(name, nothing * len(f))]

    def stat(self, name: str) -> list[list[float]]:
        return [row.tolist() for item in self.stored for row in item.frame.layers.get(name, ())]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        answer = self._fault(request) or self._answer(request)
        self.requests.append((request.method, request.url.path, answer.status_code))
        self.headers.append(request.headers)
        return answer

    def _fault(self, request: httpx.Request) -> httpx.Response | None:
        if not self.faults:
            return None
        fault = self.faults.popleft()
        if isinstance(fault, Exception):
            self.requests.append((request.method, request.url.path, 0))
            raise fault
        if isinstance(fault, httpx.Response):
            return fault
        return fault(request)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/api/v1/runs":
            return self._post_run(json.loads(request.content))
        if found := FINISH.fullmatch(path):
            self.ended[found[1]] = json.loads(request.content)
            return httpx.Response(200, json={"id": found[1], "state": "finished"})
        if found := FRAME.fullmatch(path):
            return self._put_frame(found[1], found[2], int(found[3]), request.content)
        return problem(404, "not-found")

    def _post_run(self, body: dict[str, Any]) -> httpx.Response:
        known = body["id"] in self.runs
        self.runs.setdefault(body["id"], body)
        tables = self.tables.setdefault(body["id"], set())
        if body.get("layers"):
            tables.add(table_of(body["layers"]).hash)
        return httpx.Response(200 if known else 201, json={"id": body["id"]})

    def _put_frame(self, run: str, writer: str, seq: int, body: bytes) -> httpx.Response:
        if run not in self.runs:
            return problem(404, "not-found")
        if len(body) > self.max_bytes:
            return problem(413, "too-large")
        try:
            frame = unpack(body)
        except Invalid as error:
            return problem(422, str(error))
        if frame.layers_hash and frame.layers_hash not in self.tables[run]:
            return problem(409, "unknown-layers")
        for item in self.stored:
            if (item.run, item.writer, item.seq) == (run, writer, seq):
                same = hashlib.sha256(item.body).digest() == hashlib.sha256(body).digest()
                return self._receipt(200, "duplicate", frame) if same else problem(409, "conflict")
        self.stored.append(Stored(run, writer, seq, body, frame))
        return self._receipt(201, "stored", frame)

    def _receipt(self, status: int, word: str, frame: Frame) -> httpx.Response:
        new = len(frame) if status == 201 else 0
        body = {
            "status": word,
            "accepted": new,
            "duplicates": len(frame) - new,
            "rejected": 0,
            "health": self.health,
            "guard": self.guard,
            "alerts": self.alerts,
            "advice": self.advice,
        }
        return httpx.Response(status, json=body)


def table_of(layers: list[dict[str, Any]]) -> LayerTable:
    shapes = [tuple(item.get("shape", ())) for item in layers]
    rows = zip(layers, shapes, strict=True)
    return LayerTable(tuple(Layer(**{**item, "shape": shape}) for item, shape in rows))
