"""History becomes runs with alerts: TensorBoard, MLflow and W&B, on a real service."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import httpx
import pytest

from gradwatch.history.command import import_history
from tests.client.history.logs import BREAKS, STEPS, exploding, write_exploding
from tests.e2e.exploded import assert_seen
from tests.servers import Server

OFFLINE_RUN = Path(__file__).parents[1] / "client" / "history" / "data" / "offline-run.wandb.gz"


@pytest.fixture
def http(standing_server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRADWATCH_URL", standing_server.url)
    with httpx.Client(base_url=standing_server.api, timeout=30, trust_env=False) as client:
        yield client


def run_of(http: httpx.Client, project: str) -> dict[str, Any]:
    runs = http.get("/runs", params={"project": project}).json()["items"]
    (run,) = [one for one in runs if "imported" in one["tags"]]  # others have their tests here, too
    return dict(run)


def test_a_tensorboard_log_of_an_explosion_alerts_with_its_layer(
    http: httpx.Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    write_exploding(tmp_path / "exp 1")
    arguments = ["tensorboard", str(tmp_path), "--project", "history"]
    assert import_history([*arguments, "--dry-run"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown == [
        f"tensorboard exp 1: {4 * STEPS} values of {STEPS} steps",
        "    gradients/embedding, gradients/head, gradients/rnn -> grad_norm of layers",
        "    train/loss -> loss",
    ]
    assert http.get("/runs", params={"project": "history"}).json()["items"] == []

    for stored, again in ((STEPS, 0), (0, STEPS)):
        assert import_history(arguments) == 0
        shown = capsys.readouterr().out.splitlines()
        assert shown[3] == f"    {stored} steps stored, {again} were there already"
    run = run_of(http, "history")
    assert shown[4] == f"    project history, run {run['id']}, finished"
    assert (run["name"], run["state"], run["last_step"]) == ("exp 1", "finished", STEPS - 1)
    assert run["tags"] == ["imported", "tensorboard"]
    assert_seen(str(http.base_url), run["id"], "rnn", BREAKS)
    tested = http.post("/projects/history/rules/backtest", json={"settings": {}}).json()
    assert tested["runs"]


def test_a_log_that_has_grown_is_continued_and_nobody_is_told(
    http: httpx.Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file = write_exploding(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert import_history(["tensorboard", str(tmp_path), "--project", "growing"]) == 0
    before = run_of(http, "growing")["last_step"]
    file.write_bytes(whole)
    assert import_history(["tensorboard", str(tmp_path), "--project", "growing"]) == 0
    after = run_of(http, "growing")
    assert (before < STEPS - 1, after["last_step"]) == (True, STEPS - 1)
    assert_seen(str(http.base_url), after["id"], "rnn", BREAKS)
    silences = http.get("/silences", params={"project": "growing"}).json()["items"]
    assert [silence["matchers"] for silence in silences] == [
        [{"name": "tag", "op": "=", "value": "imported"}]
    ] * 2
    assert {silence["state"] for silence in silences} == {"expired"}
    assert import_history(["tensorboard", str(tmp_path), "--project", "loud", "--tell"]) == 0
    assert http.get("/silences", params={"project": "loud"}).json()["items"] == []
    assert "left out" not in capsys.readouterr().out


def test_an_offline_run_of_wandb_alerts_with_its_layer(http: httpx.Client, tmp_path: Path):
    (tmp_path / "run-8jkzfx5y.wandb").write_bytes(gzip.decompress(OFFLINE_RUN.read_bytes()))
    assert import_history(["wandb", str(tmp_path)]) == 0
    run = run_of(http, "lm")
    assert (run["name"], run["state"], run["last_step"]) == ("exploding", "failed", 130)
    assert run["tags"] == ["imported", "wandb", "nightly"]
    assert run["config"]["optimizer"] == "adamw"
    assert_seen(str(http.base_url), run["id"], "rnn", BREAKS)


def test_runs_of_mlflow_alert_with_their_layer(http: httpx.Client, tmp_path: Path):
    run = tmp_path / "mlruns" / "1" / "abc"
    for name in ("train/loss", "gradients/rnn", "gradients/head"):
        file = run / "metrics" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = (f"17{step:011d} {values[name]!r} {step}\n" for step, values in exploding())
        file.write_text("".join(lines))
    (run / "meta.yaml").write_text("run_id: abc\nrun_name: exploding\nstatus: 3\n")
    arguments = ["--project", "mlflow", "--map", "gradients/rnn=grad_norm", "--leave-out", "*/head"]
    assert import_history(["mlflow", str(tmp_path), *arguments]) == 0
    found = run_of(http, "mlflow")
    assert (found["name"], found["layers_count"]) == ("exploding", 0)
    assert_seen(str(http.base_url), found["id"], None, BREAKS)
