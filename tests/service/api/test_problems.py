"""The renderer alone: every kind of error leaves as a small, well-formed problem."""

import asyncio

import httpx
import pytest
from fastapi import FastAPI

from gradwatch_service.api import problems
from gradwatch_service.errors import Conflict, Invalid, ItemError, ServiceError, Unavailable
from tests.service.api.conftest import Api, problem


def answer_to(error: Exception) -> httpx.Response:
    app = FastAPI()
    problems.install(app)

    @app.get("/")
    async def fail() -> None:
        raise error

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            return await http.get("/")

    return asyncio.run(send())


def test_an_error_says_what_a_caller_can_act_on():
    answer = answer_to(Conflict("another body is stored"))
    assert problem(answer) == (409, "conflict")
    body = answer.json()
    assert body["type"] == "urn:gradwatch:problem:conflict"
    assert body["title"] == "Conflict with what is stored"
    assert body["detail"] == "another body is stored"
    assert body["retryable"] is False
    assert "retry-after" not in answer.headers


@pytest.mark.parametrize(("seconds", "header"), [(None, "1"), (0.2, "1"), (7.0, "7")])
def test_what_may_be_retried_says_when(seconds, header):
    answer = answer_to(Unavailable("the database does not answer", retry_after_seconds=seconds))
    assert problem(answer) == (503, "unavailable")
    assert answer.headers["retry-after"] == header
    assert answer.json()["retryable"] is True
    assert answer.json()["retry_after_s"] == (seconds or 1)


def test_pointers_stop_where_the_senders_own_words_begin():
    pointers = ("/steps/3/loss", "/layers/hunter2/0", "/scalars/loss/12", "hunter2", "/9999999999")
    errors = tuple(ItemError(pointer, "bad") for pointer in pointers)
    answer = answer_to(Invalid("broken", errors=errors))
    assert problem(answer) == (422, "invalid")
    assert [item["pointer"] for item in answer.json()["errors"]] == [
        "/steps/3/loss",
        "/layers",
        "/scalars/loss/12",
        "",
        "",
    ]


def test_however_much_is_wrong_the_answer_stays_small():
    errors = tuple(ItemError("/layers" * 50, "bad-name") for _ in range(5_000))
    answer = answer_to(Invalid("x" * 100_000, errors=errors))
    assert problem(answer) == (422, "invalid")
    assert len(answer.json()["errors"]) <= 20


def test_a_defect_is_logged_and_its_answer_tells_nothing(caplog: pytest.LogCaptureFixture):
    answer = answer_to(ZeroDivisionError("hunter2"))
    assert problem(answer) == (500, "internal")
    assert answer.json()["retryable"] is True
    assert "hunter2" not in answer.text
    assert "ZeroDivisionError: hunter2" in caplog.text


def test_every_error_of_the_service_has_a_status_and_a_code():
    kinds = ServiceError.__subclasses__()
    assert len({kind.code for kind in kinds}) == len(kinds)
    assert all(400 <= kind.status < 600 for kind in kinds)


def test_an_address_says_all_the_methods_it_allows(api: Api):
    answer = api.send("OPTIONS", "/runs")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
    answer = api.send("POST", "/runs/00000000-0000-0000-0000-000000000000")
    assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, GET, PATCH")
