"""The fast path is reached without the layers of the others, and nobody can tell from outside."""

import httpx
import msgpack
import pytest

from tests.service.api.conftest import Api, problem

BODY = msgpack.packb({"steps": bytes(8)})
PATH = "/writers/w/frames/0"


def test_an_error_on_the_short_way_is_a_problem_like_any_other(api: Api):
    unknown = "/runs/00000000-0000-7000-8000-000000000000"
    assert problem(api.put(unknown + PATH, BODY)) == (404, "not-found")
    assert problem(api.put("/runs/none" + PATH, BODY)) == (404, "not-found")


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_other_methods_of_the_same_address_go_the_long_way(api: Api, method: str):
    answer = api.send(method, api.new_run() + PATH)
    assert problem(answer) == (405, "method-not-allowed")
    assert answer.headers["allow"] == "PUT"


def test_an_address_that_is_only_alike_goes_the_long_way(api: Api):
    for path in (PATH + "/", "/writers/w/frames", "/writers/a/b/frames/0"):
        assert problem(api.put(api.new_run() + path, BODY)) == (404, "not-found")


def test_the_limits_of_the_gate_hold_on_the_short_way(api: Api):
    answer = api.put(api.new_run() + PATH, bytes(4 * 2**20 + 1))
    assert problem(answer) == (413, "too-large")


def test_a_defect_on_the_short_way_is_logged_and_its_answer_tells_nothing(
    api: Api, caplog: pytest.LogCaptureFixture
):
    backend, api.app.state.backend = api.app.state.backend, None
    quiet = httpx.ASGITransport(api.app, raise_app_exceptions=False)

    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=quiet, base_url="http://test/api/v1") as http:
            return await http.put(
                "/runs/00000000-0000-7000-8000-000000000000" + PATH,
                content=BODY,
                headers={"content-type": "application/msgpack"},
            )

    try:
        answer = api.portal.call(send)
    finally:
        api.app.state.backend = backend
    assert problem(answer) == (500, "internal")
    assert "AttributeError" in caplog.text
    assert "AttributeError" not in answer.text
