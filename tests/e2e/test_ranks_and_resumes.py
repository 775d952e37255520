"""One run of several processes and launches, reported by the real client to a real server."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest

import gradwatch
from gradwatch.run import Run
from tests.servers import Server

pytestmark = pytest.mark.sqlite_in_brief

RUN_ID = "0193a000-0000-7000-8000-00000000beef"
CALM, STEPS = 60, 90
LAYERS = ["in", "out"]


@contextmanager
def reporting(server: Server, launch: str, **options: Any) -> Iterator[Run]:
    run = gradwatch.init(
        "ranks", url=server.url, id=RUN_ID, launch_id=launch, layers=LAYERS, **options
    )
    assert isinstance(run, Run)
    try:
        yield run
    finally:
        run.finish()


def report(run: Run, first: int, last: int, *, explodes: bool, scale: float = 1.0) -> None:
    """Log these steps; if the training explodes, gradients double every step from CALM on."""
    for step in range(first, last):
        norm = scale * (2.0 ** max(0, step - CALM) if explodes else 1.0)
        loss = math.nan if explodes and step >= STEPS - 5 else 1.0 / scale
        layers = {"in": {"grad_norm": 0.6 * norm}, "out": {"grad_norm": 0.8 * norm}}
        run.log(step, loss=loss, grad_norm=norm, lr=0.1, layers=layers)
    assert run.flush(30.0)


def alerts_of(http: httpx.Client) -> list[dict[str, Any]]:
    return http.get("/alerts", params={"run": RUN_ID}).json()["items"]


def series(http: httpx.Client, metric: str) -> dict[int, Any]:
    found = http.get(f"/runs/{RUN_ID}/series", params={"metric": metric}).json()
    assert len(set(found["steps"])) == len(found["steps"])
    return dict(zip(found["steps"], found["values"], strict=True))


def test_two_ranks_with_the_same_explosion_are_one_alert(
    server: Server, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
):
    with reporting(server, "job-1") as rank0:
        monkeypatch.setenv("RANK", "1")
        with reporting(server, "job-1") as rank1:
            for run in (rank0, rank1):
                report(run, 0, CALM, explodes=True)
            assert alerts_of(http) == []
            report(rank0, CALM, STEPS, explodes=True)
            alone = {alert["id"]: alert for alert in alerts_of(http)}
            report(rank1, CALM, STEPS, explodes=True)
            together = {alert["id"]: alert for alert in alerts_of(http)}
            assert rank1.guard.max_norm is not None
            run = http.get(f"/runs/{RUN_ID}").json()
    assert together.keys() == alone.keys()
    assert len({alert["cause"] for alert in together.values()}) == len(together) > 0
    for identity, alert in together.items():
        (first,) = alone[identity]["writers"]
        assert first.startswith("r0-")
        assert [writer[:3] for writer in alert["writers"]] == ["r0-", "r1-"]
        for same in ("rule", "cause", "state", "severity", "opened_step", "layers", "opened_at"):
            assert alert[same] == alone[identity][same]
    firing = [alert for alert in together.values() if alert["state"] == "firing"]
    assert (run["health"], run["open_alerts"]) == ("critical", len(firing))
    assert len(run["attempts"]) == 1


def test_a_rank_alone_in_trouble_is_named_alone(
    server: Server, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
):
    with reporting(server, "job-1") as rank0:
        monkeypatch.setenv("RANK", "1")
        with reporting(server, "job-1") as rank1:
            report(rank0, 0, STEPS, explodes=False)
            report(rank1, 0, STEPS, explodes=True)
    alerts = alerts_of(http)
    assert alerts
    assert {writer[:3] for alert in alerts for writer in alert["writers"]} == {"r1-"}


def test_the_rank_whose_weights_drift_is_named(
    server: Server, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
):
    with ExitStack() as stack:
        ranks = []
        for rank in range(4):
            monkeypatch.setenv("RANK", str(rank))
            ranks.append(stack.enter_context(reporting(server, "job-1")))
        for first in range(0, 60, 20):
            for rank, run in enumerate(ranks):
                for step in range(first, first + 20):
                    drift = 1.001 if rank == 2 and step >= 40 else 1.0
                    norm = drift * (1 + 0.1 * math.sin(step))
                    run.log(step, loss=1.0, grad_norm=norm, local_grad_norm=1 + 0.1 * rank)
                assert run.flush(30.0)
    (alert,) = alerts_of(http)
    assert (alert["cause"], alert["rule"]) == ("hardware-or-rank", "replica-divergence")
    assert (alert["severity"], alert["actionable"], alert["opened_step"]) == ("critical", True, 41)
    assert [name[:3] for name in alert["layers"]] == ["r2-"]
    quarantine = next(one for one in alert["advice"] if one["action"] == "quarantine_rank")
    assert (quarantine["class"], quarantine["severity"]) == (4, "critical")
    assert [suspect["cause"] for suspect in alert["causes"]] == ["hardware-or-rank"]
    assert http.get(f"/runs/{RUN_ID}").json()["health"] == "critical"


def test_a_resumed_run_shows_the_points_that_count_and_resolves_what_is_over(
    server: Server, http: httpx.Client
):
    with reporting(server, "monday") as run:
        report(run, 0, STEPS, explodes=True)
        assert run.advice
        run.finish("failed", "diverged")
    broken = http.get(f"/runs/{RUN_ID}").json()
    assert (broken["state"], broken["health"]) == ("failed", "critical")
    before = alerts_of(http)
    assert "firing" in {alert["state"] for alert in before}

    server.restart()
    with reporting(server, "tuesday", resume_step=50) as run:
        report(run, 50, 80, explodes=False, scale=0.5)
        assert run.advice == []
        resumed = http.get(f"/runs/{RUN_ID}").json()
        assert (resumed["state"], resumed["health"]) == ("running", "ok")
    after = alerts_of(http)
    assert [alert["id"] for alert in after] == [alert["id"] for alert in before]
    assert {alert["state"] for alert in after} == {"resolved"}
    assert [alert["opened_step"] for alert in after] == [alert["opened_step"] for alert in before]

    run = http.get(f"/runs/{RUN_ID}").json()
    assert (run["state"], run["health"], run["open_alerts"]) == ("finished", "ok", 0)
    launches = [
        (attempt["number"], attempt["launch_id"], attempt["resume_step"])
        for attempt in run["attempts"]
    ]
    assert launches == [(1, "monday", None), (2, "tuesday", 50)]
    assert series(http, "loss") == {step: 1.0 if step < 50 else 2.0 for step in range(80)}
    assert series(http, "grad_norm") == {step: 1.0 if step < 50 else 0.5 for step in range(80)}
    assert http.get(f"/runs/{RUN_ID}/advice").json()["items"] == []


def test_the_same_fault_after_a_resume_is_the_same_alert_again(server: Server, http: httpx.Client):
    with reporting(server, "monday") as run:
        report(run, 0, STEPS, explodes=True)
    before = {alert["id"] for alert in alerts_of(http)}
    with reporting(server, "tuesday", resume_step=20) as run:
        report(run, 20, CALM, explodes=False)
        assert {alert["state"] for alert in alerts_of(http)} == {"resolved"}
        report(run, CALM, STEPS, explodes=True)
        assert "firing" in {alert["state"] for alert in run.alerts}
        after = alerts_of(http)
    again = [alert for alert in after if alert["state"] == "firing"]
    assert again
    assert {alert["id"] for alert in again} <= before
    assert len({alert["cause"] for alert in after}) == len(after)
