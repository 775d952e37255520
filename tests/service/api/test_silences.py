from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest

from gradwatch_service.api import alert_shapes, shapes
from tests.service.api.conftest import Api, problem

MATCHER = {"name": "cause", "value": "plateau"}


def body(**fields: Any) -> dict[str, Any]:
    known = {"project": "quiet", "matchers": [MATCHER], "duration": "2h", "comment": "we know"}
    return {key: value for key, value in {**known, **fields}.items() if value is not None}


def seconds(silence: dict[str, Any]) -> float:
    start, end = (dt.datetime.fromisoformat(silence[key]) for key in ("starts_at", "ends_at"))
    return (end - start).total_seconds()


def test_a_silence_is_made_listed_and_ended(api: Api):
    made = api.post("/silences", body(by="ada"))
    assert made.status_code == 201
    silence = made.json()
    alert_shapes.SilenceShape.model_validate(silence)
    assert (silence["state"], silence["created_by"], silence["comment"]) == (
        "active",
        "ada",
        "we know",
    )
    assert silence["matchers"] == [MATCHER | {"op": "="}]
    assert seconds(silence) == 7_200
    page = api.get("/silences", project="quiet", state="active").json()
    shapes.Items[alert_shapes.SilenceShape].model_validate(page)
    assert page["items"] == [silence]
    for _ in range(2):
        assert api.send("DELETE", f"/silences/{silence['id']}").status_code == 204
    (ended,) = api.get("/silences", project="quiet").json()["items"]
    assert (ended["id"], ended["state"]) == (silence["id"], "expired")
    assert api.get("/silences", project="quiet", state="active").json()["items"] == []


def test_a_silence_may_begin_later_and_name_its_end(api: Api):
    times = {"starts_at": "2099-01-01T00:00:00+01:00", "ends_at": "2099-01-02T00:00:00Z"}
    silence = api.post("/silences", body(project="later", duration=None, **times)).json()
    assert (silence["state"], silence["starts_at"]) == ("pending", "2098-12-31T23:00:00.000Z")
    assert seconds(silence) == 25 * 3_600
    compound = api.post("/silences", body(project="later", duration="1d12h30m5s")).json()
    assert seconds(compound) == 36.5 * 3_600 + 5


@pytest.mark.parametrize(
    "wrong",
    [
        {"matchers": []},
        {"matchers": [MATCHER] * 21},
        {"matchers": [MATCHER | {"name": "colour"}]},
        {"matchers": [MATCHER | {"op": "~"}]},
        {"matchers": [MATCHER | {"op": "=~", "value": "(a*)*("}]},
        {"matchers": [MATCHER | {"op": "=~", "value": "a" * 300}]},
        {"duration": "soon"},
        {"duration": "0s"},
        {"duration": "99999d99999d"},
        {"duration": None},
        {"ends_at": "2099-01-01T00:00:00Z"},
        {"duration": None, "ends_at": "2020-01-01T00:00:00Z"},
        {"duration": None, "ends_at": "2199-01-01T00:00:00Z"},
        {"duration": None, "ends_at": "2099-01-01T00:00:00"},
        {"starts_at": "never"},
        {"starts_at": "9999-12-31T23:00:00Z"},
        {"starts_at": 5},
        {"project": ""},
        {"colour": "red"},
    ],
)
def test_what_makes_no_silence_is_refused(api: Api, wrong: dict[str, Any]):
    assert problem(api.post("/silences", body(**wrong))) == (422, "invalid")


def test_a_silence_that_never_was_is_not_found(api: Api):
    assert problem(api.send("DELETE", f"/silences/{uuid.uuid4()}")) == (404, "not-found")


def test_a_list_of_what_no_silence_can_be_is_refused(api: Api):
    assert problem(api.get("/silences", state="loud")) == (422, "invalid")


def test_a_silenced_alert_fires_and_says_who_silences_it(api: Api):
    path = api.new_run(project="muted", name="small-1", tags=["nightly"])
    broken = [{"step": step, "loss": "NaN"} for step in range(3)]
    assert api.post(f"{path}/steps", {"steps": broken}).status_code == 201
    (alert,) = api.get("/alerts", project="muted").json()["items"]
    assert (alert["state"], alert["silenced_by"]) == ("firing", [])
    others = [{"name": "tag", "value": "weekly"}]
    matchers = [
        {"name": "run_name", "op": "=~", "value": "small-.*"},
        {"name": "tag", "value": "nightly"},
        {"name": "severity", "op": "!=", "value": "info"},
    ]
    made = api.post("/silences", body(project="muted", matchers=matchers)).json()
    api.post("/silences", body(project="muted", matchers=others))
    api.post("/silences", body(project="elsewhere", matchers=matchers))
    (alert,) = api.get("/alerts", project="muted", state="firing").json()["items"]
    assert alert["silenced_by"] == [made["id"]]
    assert api.get(f"/alerts/{alert['id']}").json()["silenced_by"] == [made["id"]]
    api.send("DELETE", f"/silences/{made['id']}")
    assert api.get(f"/alerts/{alert['id']}").json()["silenced_by"] == []
