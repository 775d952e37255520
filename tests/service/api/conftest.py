"""The whole application in this process, on a real SQLite file; only the socket is left out."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI

from gradwatch_service.app import create_app
from gradwatch_service.settings import Settings


@dataclass(frozen=True)
class Api:
    """Sends requests to the application; paths are below the API prefix."""

    app: FastAPI
    portal: BlockingPortal
    client: httpx.AsyncClient

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.portal.call(partial(self.client.request, method, path, **options))

    def get(self, path: str, **params: Any) -> httpx.Response:
        return self.send("GET", path, params=params)

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return self.post_raw(path, json.dumps(body).encode(), **headers)

    def post_raw(self, path: str, body: bytes, **headers: str) -> httpx.Response:
        headers["content-type"] = "application/json"
        return self.send("POST", path, content=body, headers=headers)

    def put(self, path: str, body: bytes, media: str = "application/msgpack") -> httpx.Response:
        return self.send("PUT", path, content=body, headers={"content-type": media})

    def new_run(self, **fields: Any) -> str:
        """The path of a fresh run."""
        answer = self.post("/runs", {"project": "test", **fields})
        assert answer.status_code == 201
        return f"/runs/{answer.json()['id']}"


@contextmanager
def served(folder: Path, **settings: Any) -> Iterator[Api]:
    """The application from its start to its end."""
    settings = {"allowed_hosts": "test", **settings}
    app = create_app(Settings(database_url=f"sqlite:///{folder}/gradwatch.db", **settings))
    http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test/api/v1")
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(app.router.lifespan_context(app)),
        portal.wrap_async_context_manager(http),
    ):
        yield Api(app, portal, http)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with served(tmp_path_factory.mktemp("api")) as running:
        yield running


def problem(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of an answer that must be a well-formed problem."""
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.content) <= 8192
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["instance"].startswith("/requests/")
    uuid.UUID(body["instance"].removeprefix("/requests/"))
    assert body.keys() >= {"type", "title", "status", "detail", "instance", "code", "retryable"}
    return answer.status_code, body["code"]
