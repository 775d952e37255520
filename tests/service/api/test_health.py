from gradwatch_service.api import shapes
from tests.service.api.conftest import Api


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
