"""Errors as pages for browsers, and as problems for everybody else."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from tests.service.api.conftest import Api, problem, served
from tests.tenants import A, Keyring, bearer

HOST = "http://test"
BROWSER = {"accept": "text/html,application/xhtml+xml"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with served(tmp_path_factory.mktemp("open")) as running:
        yield running


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with served(tmp_path_factory.mktemp("keyed"), require_key=True) as running:
        yield running


def browse(api: Api, path: str, **headers: str) -> httpx.Response:
    return api.send("GET", HOST + path, headers=BROWSER | headers)


def page(answer: httpx.Response, status: int) -> str:
    """The text of a page that may show nothing of elsewhere."""
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    return answer.text


@pytest.mark.parametrize("path", ["/nothing", f"/runs/{uuid.UUID(int=1)}", "/runs/nonsense"])
def test_what_is_not_there_is_a_page_that_leads_on(api: Api, path: str):
    text = page(browse(api, path), 404)
    assert "Not found" in text
    assert 'href="/"' in text
    assert "GET /docs" not in text


def test_whoever_is_no_browser_gets_a_problem(api: Api):
    assert problem(api.send("GET", f"{HOST}/runs/{uuid.UUID(int=1)}"))[0] == 404
    assert problem(browse(api, f"/api/v1/runs/{uuid.UUID(int=1)}"))[0] == 404


def test_a_stranger_is_led_to_the_page_that_asks_for_a_key_and_told_where_from(keyed: Api):
    answer = browse(keyed, "/alerts?state=firing")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/signin?next=/alerts%3Fstate%3Dfiring"
    text = page(browse(keyed, "/signin"), 200)
    assert "gradwatch keys create" in text
    assert "asks nobody for a key" not in text


def test_a_service_that_asks_nobody_for_a_key_says_so(api: Api):
    assert "asks nobody for a key" in page(browse(api, "/signin"), 200)


def test_a_key_that_may_not_read_is_told_which_may(keyed: Api):
    engine = keyed.app.state.backend.engine
    text = page(browse(keyed, "/", **bearer(Keyring(engine).issue(A, "ingest").text)), 403)
    assert "scope read" in text
    assert "gradwatch keys create" in text


def test_a_database_that_is_away_is_a_page_that_tries_again(tmp_path: Path):
    with served(tmp_path) as api:
        run = api.new_run()
        engine = api.app.state.backend.engine
        sa.event.listen(engine, "begin", _fail)
        answer = browse(api, run)
        sa.event.remove(engine, "begin", _fail)
        text = page(answer, 503)
    assert "Try again" in text
    assert "js/again.js" in text


def _fail(_: sa.Connection) -> None:
    raise sa.exc.OperationalError("SELECT", {}, Exception("away"))
