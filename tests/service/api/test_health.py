import datetime as dt
import threading
import uuid
from pathlib import Path

import pytest

from gradwatch_service.api import health, shapes
from gradwatch_service.clock import utc_now
from gradwatch_service.store import heartbeats, outbox
from gradwatch_service.store.outbox import Change
from tests.servers import poll
from tests.service.api.conftest import Api, problem, served

STEP = {"steps": [{"step": 0, "loss": 1.0}]}


def outside(api: Api, path: str):
    return api.send("GET", f"http://test{path}")


def test_the_process_says_that_it_lives(api: Api):
    answer = outside(api, "/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_a_ready_service_says_what_it_has_checked(api: Api):
    poll(lambda: outside(api, "/readyz").json()["status"] == "ok", "the worker shows its life")
    answer = outside(api, "/readyz")
    assert answer.status_code == 200
    shapes.Status.model_validate(answer.json())
    names = ("database", "writer", "disk", "worker", "outbox")
    assert answer.json()["checks"] == dict.fromkeys(names, "ok")
    ages = answer.json()["age_seconds"]
    assert ages["worker"] < 10
    assert ages["outbox"] is None


def test_a_service_without_a_worker_takes_reports_and_says_that_nobody_is_told(tmp_path: Path):
    with served(tmp_path, embedded_worker=False) as api:
        answer = outside(api, "/readyz")
        assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
        assert "gradwatch worker" in answer.json()["checks"]["worker"]
        long_ago = utc_now() - dt.timedelta(hours=1)
        served_by = api.app.state.backend
        served_by.write(lambda connection: heartbeats.beat(connection, "gone", long_ago))
        change = Change(uuid.uuid4(), uuid.uuid4(), "p", 1)
        served_by.write(lambda connection: outbox.note(connection, [change], long_ago))
        checks = outside(api, "/readyz").json()["checks"]
        assert checks["worker"].startswith("no worker for 36")
        assert checks["outbox"].startswith("a change of an alert waits for 36")


def test_a_service_that_can_only_read_is_alive_but_not_ready(tmp_path: Path):
    with served(tmp_path, embedded_worker=False) as api:
        run = api.new_run()
        api.app.state.backend.writer.stop()
        answer = outside(api, "/readyz")
        assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")
        checks = answer.json()["checks"]
        assert checks["database"] == "ok"
        assert "stopping" in checks["writer"]
        assert outside(api, "/healthz").status_code == 200
        assert api.get(run).status_code == 200
        assert problem(api.post("/runs", {"project": "late"})) == (503, "unavailable")


def test_a_service_whose_database_is_gone_is_alive_and_says_so(tmp_path: Path):
    file = tmp_path / "gradwatch.db"
    with served(tmp_path, embedded_worker=False) as api:
        run = api.new_run()
        api.app.state.backend.engine.dispose()
        kept = file.rename(tmp_path / "kept.db")
        file.mkdir()
        answer = outside(api, "/readyz")
        assert answer.status_code == 503
        checks = answer.json()["checks"]
        assert checks["database"] == "the database does not answer; send the same again"
        assert outside(api, "/healthz").status_code == 200
        assert problem(api.get(run)) == (503, "unavailable")
        assert problem(api.post(f"{run}/steps", STEP)) == (503, "unavailable")
        file.rmdir()
        kept.rename(file)
        assert outside(api, "/readyz").status_code == 200
        assert api.post(f"{run}/steps", STEP).status_code == 201


def test_a_writer_that_is_stuck_is_not_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(health, "READY_DEADLINE_SECONDS", 0.1)
    go_on = threading.Event()
    with served(tmp_path, embedded_worker=False) as api:
        stuck = api.app.state.backend.writer.run(lambda _: go_on.wait(30))
        answer = outside(api, "/readyz")
        assert answer.status_code == 503
        checks = answer.json()["checks"]
        assert checks["database"] == "ok"
        assert checks["writer"] == (
            "the writer does not answer: if it stays so, restart the service"
        )
        go_on.set()
        assert stuck.result(10)
        monkeypatch.undo()
        assert outside(api, "/readyz").status_code == 200
