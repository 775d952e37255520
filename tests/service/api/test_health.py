from pathlib import Path

from gradwatch_service.api import shapes
from tests.service.api.conftest import Api, problem, served


def outside(api: Api, path: str):
    return api.send("GET", f"http://test{path}")


def test_the_process_says_that_it_lives(api: Api):
    answer = outside(api, "/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_a_ready_service_says_what_it_has_checked(api: Api):
    answer = outside(api, "/readyz")
    assert answer.status_code == 200
    shapes.Status.model_validate(answer.json())
    assert answer.json() == {"status": "ok", "checks": {"database": "ok", "writer": "ok"}}


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
