"""The demo's service is a real one, lives as long as the demo and leaves nothing running."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from gradwatch_service.demo.server import NotStartedError, serving


def test_the_service_answers_within_the_block_and_is_gone_after_it(tmp_path: Path) -> None:
    with (
        serving(f"sqlite:///{tmp_path}/gradwatch.db") as url,
        httpx.Client(base_url=url, trust_env=False) as http,
    ):
        assert http.get("/healthz").status_code == 200
        assert http.get("/api/v1/runs").json() == {"items": [], "next_cursor": None}
    with httpx.Client(base_url=url, trust_env=False) as http, pytest.raises(httpx.ConnectError):
        http.get("/healthz")


def test_the_service_is_stopped_when_the_block_fails(tmp_path: Path) -> None:
    addresses = []

    def fail() -> None:
        with serving(f"sqlite:///{tmp_path}/gradwatch.db") as url:
            addresses.append(url)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{addresses[0]}/healthz", trust_env=False)


def test_an_address_that_is_no_database_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(NotStartedError, match="did not start"), serving("nonsense"):
        pytest.fail("the block must not be entered")
    assert "cannot use the database address" in capfd.readouterr().err
