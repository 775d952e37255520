"""A write that does not commit in time is answered; it may still commit, and then counts once."""

import threading
from pathlib import Path

from tests.service.api.conftest import problem, served


def test_a_caller_is_not_kept_waiting_for_a_writer_that_is_stuck(tmp_path: Path):
    go_on = threading.Event()
    with served(tmp_path, handler_deadline_seconds=0.5) as api:
        patient = api.app.state.backend.writer
        run = api.new_run()
        stuck = patient.run(lambda _: go_on.wait(30))
        push = {"steps": [{"step": 0, "loss": 1.5}]}
        assert problem(api.post(f"{run}/steps", push)) == (503, "overdue")
        assert problem(api.post(f"{run}/finish", {"state": "failed"})) == (503, "overdue")
        go_on.set()
        assert stuck.result(10)
        patient.run(lambda _: None).result(10)
        again = api.post(f"{run}/steps", push)
        assert (again.status_code, again.json()["status"]) == (200, "duplicate")
        assert api.get(run).json()["state"] == "failed"
