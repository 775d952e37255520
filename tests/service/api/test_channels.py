from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.receivers import Receiver
from tests.service.api.conftest import Api, problem, served

SLACK = "https://hooks.slack.com/services/T0/B0/s3cret"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Of an operator who lets channels reach loopback."""
    with served(tmp_path_factory.mktemp("api"), outgoing_allow="127.0.0.1") as running:
        yield running


@pytest.fixture
def path() -> str:
    """The channels of a project without any."""
    return f"/projects/{uuid.uuid4()}/channels"


def added(api: Api, path: str, url: str = SLACK, **more: Any) -> dict[str, Any]:
    body = {"kind": "slack", "name": "on call", "settings": {"url": url}, **more}
    answer = api.post(path, body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def test_a_channel_is_added_listed_and_deleted(api: Api, path: str) -> None:
    channel = added(api, path)
    assert (channel["kind"], channel["name"], channel["enabled"]) == ("slack", "on call", True)
    assert api.get(path).json() == {"items": [channel], "next_cursor": None}
    assert api.send("DELETE", f"{path}/{channel['id']}").status_code == 204
    assert api.get(path).json()["items"] == []
    assert problem(api.send("DELETE", f"{path}/{channel['id']}")) == (404, "not-found")


def test_no_answer_holds_a_secret(api: Api, path: str) -> None:
    channel = added(api, path)
    one = f"{path}/{channel['id']}"
    answers = [
        api.get(path),
        api.send("PATCH", one, json={"name": "x"}),
        api.post(f"{one}/test", {}),
    ]
    assert channel["settings"]["url"] == "https://hooks.slack.com/***"
    assert not any("s3cret" in answer.text for answer in answers)


def test_other_projects_do_not_see_it(api: Api, path: str) -> None:
    channel, elsewhere = added(api, path), f"/projects/{uuid.uuid4()}/channels"
    one = f"{elsewhere}/{channel['id']}"
    assert api.get(elsewhere).json()["items"] == []
    assert problem(api.send("DELETE", one)) == (404, "not-found")
    assert problem(api.send("PATCH", one, json={"enabled": False})) == (404, "not-found")
    assert problem(api.post(f"{one}/test", {})) == (404, "not-found")
    assert len(api.get(path).json()["items"]) == 1


def test_it_is_renamed_and_switched_off(api: Api, path: str) -> None:
    one = f"{path}/{added(api, path)['id']}"
    changed = api.send("PATCH", one, json={"name": "night", "enabled": False}).json()
    assert (changed["name"], changed["enabled"]) == ("night", False)
    assert api.get(path).json()["items"] == [changed]


def test_what_it_wants_to_hear_is_changed_alone(api: Api, path: str, receiver: Receiver) -> None:
    one = f"{path}/{added(api, path, receiver.url)['id']}"
    changed = api.send("PATCH", one, json={"settings": {"min_severity": "error"}}).json()
    assert changed["settings"]["min_severity"] == "error"
    assert api.post(f"{one}/test", {}).status_code == 200


def test_changes_at_the_same_time_do_not_undo_each_other(api: Api, path: str) -> None:
    one = f"{path}/{added(api, path)['id']}"

    def change(**settings: Any) -> None:
        assert api.send("PATCH", one, json={"settings": settings}).status_code == 200

    levels = itertools.cycle(["info", "warning", "error", "critical"])
    with ThreadPoolExecutor(2) as pool:
        for level, wanted in zip(levels, [True, False] * 20, strict=False):
            asked = [pool.submit(change, min_severity=level)]
            asked += [pool.submit(change, send_resolved=wanted)]
            for each in asked:
                each.result()
            stored = api.get(path).json()["items"][0]["settings"]
            assert (stored["min_severity"], stored["send_resolved"]) == (level, wanted)


def test_a_secret_does_not_follow_to_another_address(api: Api, path: str) -> None:
    settings = {"url": "http://127.0.0.1:9093", "authorization": "Bearer s3cret"}
    one = f"{path}/{added(api, path, kind='alertmanager', settings=settings)['id']}"
    elsewhere = {"settings": {"url": "http://127.0.0.1:9094"}}
    changed = api.send("PATCH", one, json=elsewhere).json()
    assert changed["settings"]["authorization"] is None


def test_a_test_message_is_sent_at_once(api: Api, path: str, receiver: Receiver) -> None:
    one = f"{path}/{added(api, path, receiver.url)['id']}"
    answer = api.post(f"{one}/test", {})
    assert (answer.status_code, answer.json()) == (200, {"delivered": True})
    (request,) = receiver.received
    assert "Nothing is wrong." in request.json["text"]


def test_why_a_test_message_does_not_arrive_is_told(
    api: Api, path: str, receiver: Receiver
) -> None:
    receiver.will_answer(404, b"no_team")
    answer = api.post(f"{path}/{added(api, path, receiver.url)['id']}/test", {})
    assert problem(answer) == (502, "not-delivered")
    assert answer.json()["detail"] == "the receiver answered 404 Not Found: no_team"


def test_test_messages_have_a_pace(api: Api, path: str, receiver: Receiver) -> None:
    one = f"{path}/{added(api, path, receiver.url)['id']}/test"
    assert [api.post(one, {}).status_code for _ in range(6)] == [*[200] * 5, 429]
    refused = api.post(one, {})
    assert problem(refused) == (429, "too-many-requests")
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert len(receiver.received) == 5


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"kind": "pigeon"}, "/kind", "unknown-kind"),
        ({"settings": {}}, "/settings/url", "missing"),
        ({"settings": {"url": "https://10.1.2.3/"}}, "/settings/url", "address-refused"),
        ({"settings": {"url": SLACK, "my-own": 1}}, "/settings", "extra-forbidden"),
        ({"name": ""}, "/name", "bad-name"),
        ({"enabled": "yes"}, "/enabled", "bool-type"),
    ],
)
def test_a_body_that_is_wrong_is_told_where(
    api: Api, path: str, body: dict[str, Any], pointer: str, code: str
) -> None:
    answer = api.post(path, {"kind": "slack", "name": "x", "settings": {"url": SLACK}, **body})
    assert problem(answer)[0] == 422
    assert answer.json()["errors"] == [{"pointer": pointer, "code": code}]
    assert "my-own" not in answer.text


def test_a_project_has_a_limit(api: Api, path: str) -> None:
    for _ in range(50):
        added(api, path)
    answer = api.post(path, {"kind": "slack", "name": "x", "settings": {"url": SLACK}})
    assert problem(answer) == (409, "too-many")


def test_what_the_operator_has_not_allowed_is_refused(tmp_path: Path, path: str) -> None:
    body = {"kind": "slack", "name": "x", "settings": {"url": "http://127.0.0.1:9/"}}
    with served(tmp_path) as strict:
        answer = strict.post(path, body)
    assert problem(answer)[0] == 422
    assert "GRADWATCH_OUTGOING_ALLOW" in answer.json()["detail"]
