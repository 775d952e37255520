"""The files under ``deploy/``: promtool accepts the rules, and what they name is really scraped."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert

from gradwatch_service.store import team_tables
from tests.service.api.conftest import served

DEPLOY = Path(__file__).parent.parent / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
NAME = re.compile(r"\bgradwatch_[a-z_]+")


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[frozenset[str]]:
    """Every name that a scrape of a server with a worker shows."""
    with served(tmp_path_factory.mktemp("deploy")) as api:
        api.new_run(project="lm")
        backend = api.app.state.backend
        beat = {"worker": "w", "beat_at": backend.clock()}
        backend.write(lambda connection: connection.execute(insert(team_tables.heartbeats), [beat]))
        text = api.send("GET", "http://test/metrics").text
        yield frozenset(NAME.findall(text))


@pytest.mark.parametrize(
    "file", ["prometheus/gradwatch.rules.yml", "prometheus/gradwatch.test.yml",
             "grafana/gradwatch.json"],
)  # fmt: skip
def test_every_metric_that_is_named_is_scraped(file: str, scraped: frozenset[str]) -> None:
    named = set(NAME.findall((DEPLOY / file).read_text(encoding="utf-8")))
    assert named
    assert named <= scraped


def test_every_metric_that_is_scraped_is_explained(scraped: frozenset[str]) -> None:
    page = (DEPLOY.parent / "docs" / "operations.md").read_text(encoding="utf-8")
    explained = set(NAME.findall(page))
    families = {re.sub("_(bucket|count|sum|created)$", "", name) for name in scraped}
    assert families <= explained
    assert explained <= scraped | families


def test_the_dashboard_has_panels_that_do_not_overlap() -> None:
    board = json.loads((DEPLOY / "grafana" / "gradwatch.json").read_text(encoding="utf-8"))
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + i, at["y"] + j) for i in range(at["w"]) for j in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian: prometheus)")
@pytest.mark.parametrize(
    "command",
    [["check", "config", "prometheus.yml"], ["test", "rules", "gradwatch.test.yml"]],
    ids=["config", "rules"],
)
def test_promtool_accepts(command: list[str]) -> None:
    done = subprocess.run(
        ["promtool", *command],
        cwd=PROMETHEUS, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
