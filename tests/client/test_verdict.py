from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import httpx
import pytest

from gradwatch import transport as transport_module
from gradwatch.config import Config
from gradwatch.errors import Refused, Unreachable
from gradwatch.transport import Answer, Transport, items_of
from gradwatch.verdict import Verdict, backoff_limit, judge_frame, judge_introduction

RECEIPT = {"status": "stored"}


def problem(status: int, code: str = "") -> Answer:
    return Answer(status, {"code": code})


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (Answer(201, RECEIPT), Verdict.STORED),
        (Answer(200, RECEIPT), Verdict.STORED),
        (Answer(200, {}), Verdict.RETRY),
        (Answer(202, RECEIPT), Verdict.RETRY),
        (problem(302), Verdict.HOLD),
        (problem(400), Verdict.REJECT),
        (problem(401), Verdict.HOLD),
        (problem(403), Verdict.HOLD),
        (problem(404, "not-found"), Verdict.REGISTER),
        (problem(405), Verdict.REJECT),
        (problem(408), Verdict.RETRY),
        (problem(409, "unknown-layers"), Verdict.REGISTER),
        (problem(409, "conflict"), Verdict.RENUMBER),
        (problem(413), Verdict.SPLIT),
        (problem(415), Verdict.REJECT),
        (problem(422), Verdict.REJECT),
        (problem(429), Verdict.RETRY),
        (problem(500), Verdict.RETRY),
        (problem(502), Verdict.RETRY),
        (problem(503), Verdict.RETRY),
    ],
)
def test_what_an_answer_means_for_a_frame(answer: Answer, verdict: Verdict) -> None:
    assert judge_frame(answer, 0) is verdict


@pytest.mark.parametrize("status", [404, 500])
def test_a_defect_of_the_service_is_given_up_after_five_retries(status: int) -> None:
    assert judge_frame(problem(status), 4) is not Verdict.REJECT
    assert judge_frame(problem(status), 5) is Verdict.REJECT


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (404, Verdict.HOLD),
        (405, Verdict.HOLD),
        (409, Verdict.REJECT),
        (413, Verdict.REJECT),
        (422, Verdict.REJECT),
        (500, Verdict.RETRY),
        (503, Verdict.RETRY),
    ],
)
def test_what_an_answer_means_for_a_run(status: int, verdict: Verdict) -> None:
    assert judge_introduction(problem(status)) is verdict


@pytest.mark.parametrize("status", [400, 409, 413, 422])
def test_a_run_is_refused_by_the_service_alone_not_by_what_stands_before_it(status: int) -> None:
    assert judge_introduction(Answer(status)) is Verdict.HOLD


def test_the_limit_of_the_backoff_doubles_up_to_its_cap() -> None:
    config = Config()
    limits = [backoff_limit(config, failures) for failures in (0, 1, 2, 6, 7, 10_000)]
    assert limits == [0.5, 1.0, 2.0, 32.0, 60.0, 60.0]


def transport(answer: httpx.Response | Exception, **settings: str) -> Transport:
    def handle(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        answer.headers["x-seen"] = str(dict(request.headers))
        answer.headers["x-url"] = str(request.url)
        return answer

    return Transport(Config(**settings), httpx.MockTransport(handle))  # type: ignore[arg-type]


def test_requests_carry_the_key_and_say_who_asks() -> None:
    response = httpx.Response(200, json={"items": [{"id": 1}, 7]})
    answer = transport(response, url="http://localhost:1", api_key="gw_k").get(
        "/x", project=None, limit=2
    )
    assert items_of(answer) == [{"id": 1}]
    assert response.headers["x-url"] == "http://localhost:1/x?limit=2"
    assert "'authorization': 'Bearer gw_k'" in response.headers["x-seen"]
    assert "gradwatch/" in response.headers["x-seen"]


@pytest.mark.parametrize("content", [b"<html>", b"[1]", b'"text"', b"", b"\xff\xfe{"])
def test_an_answer_that_is_no_json_object_has_an_empty_body(content: bytes) -> None:
    answer = transport(httpx.Response(200, content=content)).get("/x")
    assert answer.body == {}
    assert items_of(answer) == []


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("999999", 3600.0),
        ("soon", None),
        ("-3", None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_read_in_both_its_forms(header: str, seconds: float | None) -> None:
    answer = transport(httpx.Response(503, headers={"retry-after": header})).get("/x")
    assert answer.retry_after_seconds == seconds


def test_a_redirect_is_not_followed() -> None:
    answer = transport(httpx.Response(307, headers={"location": "https://else/"})).get("/x")
    assert answer.status == 307


def test_no_answer_is_an_error_of_ours() -> None:
    with pytest.raises(Unreachable, match="cut"):
        transport(httpx.ReadError("cut")).get("/x")


def test_a_refusal_says_status_code_and_detail() -> None:
    response = httpx.Response(404, json={"code": "not-found", "detail": "no such run"})
    with pytest.raises(Refused, match="404 not-found: no such run"):
        transport(response).get("/x").expect_success()


def test_without_an_installed_distribution_the_version_is_0(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(transport_module, "version", missing)
    assert transport_module.client_version() == "0"
