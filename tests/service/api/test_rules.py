"""The routes for rules: shown with their defaults, set by differences, tried on stored runs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gradwatch_service.api.rule_shapes import BacktestShape, RulesShape
from gradwatch_service.detect.rules import catalogue
from tests.service.api.conftest import Api, problem


def put(api: Api, project: str, settings: Any, **more: Any) -> Any:
    body = json.dumps({"settings": settings, **more}).encode()
    return api.put(f"/projects/{project}/rules", body, "application/json")


def rule(body: dict[str, Any], wanted: str) -> dict[str, Any]:
    return next(one for one in body["rules"] if one["id"] == wanted)


def test_a_project_nobody_has_touched_has_every_rule_with_its_defaults(api: Api) -> None:
    answer = api.get("/projects/untouched/rules")
    assert answer.status_code == 200
    body = answer.json()
    RulesShape.model_validate_json(answer.content)
    assert [one["id"] for one in body["rules"]] == [one.id for one in catalogue()]
    assert (body["settings"], body["updated_by"], body["updated_at"]) == ({}, None, None)
    assert all(one["enabled"] and one["notify"] and not one["changed"] for one in body["rules"])
    assert all(x["value"] == x["default"] for one in body["rules"] for x in one["thresholds"])


def test_what_is_put_is_shown_and_takes_the_place_of_what_was(api: Api) -> None:
    first = put(api, "a", {"loss-spike": {"rise": 0.5, "notify": False}}, by="ann")
    assert first.status_code == 200
    RulesShape.model_validate_json(first.content)
    assert first.json() == api.get("/projects/a/rules").json()
    shown = rule(first.json(), "loss-spike")
    assert (shown["changed"], shown["enabled"], shown["notify"]) == (True, True, False)
    assert {x["name"]: x["value"] for x in shown["thresholds"]}["rise"] == 0.5
    assert first.json()["updated_by"] == "ann"
    second = put(api, "a", {"loss-plateau": {"enabled": False}}).json()
    assert second["settings"] == {"loss-plateau": {"enabled": False}}
    assert not rule(second, "loss-spike")["changed"]
    assert api.get("/projects/b/rules").json()["settings"] == {}


def test_what_equals_the_default_is_no_difference(api: Api) -> None:
    own = {"loss-spike": {"rise": 0.1, "enabled": True}, "non-finite": {"critical_streak": 5.0}}
    assert put(api, "c", own).json()["settings"] == {"non-finite": {"critical_streak": 5}}


@pytest.mark.parametrize(
    ("settings", "pointer", "code"),
    [
        ({"loss-spkie": {}}, "/settings", "unknown-rule"),
        ({"loss-spike": {"ries": 1}}, "/settings/loss-spike", "unknown-setting"),
        ({"loss-spike": {"joint_z": 1}}, "/settings/loss-spike", "unknown-setting"),
        ({"loss-spike": {"rise": 0}}, "/settings/loss-spike/rise", "out-of-range"),
        ({"loss-spike": {"rise": 1e9}}, "/settings/loss-spike/rise", "out-of-range"),
        ({"loss-spike": {"rise": "much"}}, "/settings/loss-spike/rise", "number-type"),
        ({"loss-spike": {"rise": True}}, "/settings/loss-spike/rise", "number-type"),
        ({"loss-spike": {"rise": None}}, "/settings/loss-spike/rise", "number-type"),
        ({"loss-spike": {"rise": 10**400}}, "/settings/loss-spike/rise", "out-of-range"),
        ({"loss-spike": {"enabled": 1}}, "/settings/loss-spike/enabled", "bool-type"),
        ({"non-finite": {"critical_streak": 4.5}}, "/settings/non-finite/critical_streak",
         "int-type"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("route", ["rules", "backtest"])
def test_what_no_rule_has_is_refused_with_a_pointer(
    api: Api, settings: Any, pointer: str, code: str, route: str
) -> None:
    if route == "rules":
        answer = put(api, "d", settings)
    else:
        answer = api.post("/projects/d/rules/backtest", {"settings": settings})
    assert problem(answer) == (422, "invalid")
    assert answer.json()["errors"] == [{"pointer": pointer, "code": code}]
    assert api.get("/projects/d/rules").json()["settings"] == {}


@pytest.mark.parametrize("body", [{}, {"settings": []}, {"settings": {"loss-spike": 3}}])
def test_a_body_of_another_form_is_refused(api: Api, body: Any) -> None:
    answer = api.put("/projects/e/rules", json.dumps(body).encode(), "application/json")
    assert problem(answer) == (422, "invalid")


def test_settings_are_tried_on_stored_runs(api: Api) -> None:
    run = api.new_run(project="tried", name="explodes")
    steps = [{"step": i, "loss": 2.0 + i % 2 / 50, "grad_norm": 1.0} for i in range(80)]
    steps += [{"step": i, "loss": "NaN", "grad_norm": "NaN"} for i in range(80, 100)]
    assert api.post(f"{run}/steps", {"steps": steps}).status_code == 201
    api.get(run)
    body = {"settings": {"non-finite": {"notify": False}}, "runs": 5}
    answer = api.post("/projects/tried/rules/backtest", body)
    assert answer.status_code == 200
    BacktestShape.model_validate_json(answer.content)
    totals = answer.json()["totals"]
    assert (totals["runs"], totals["steps"], totals["changed"]) == (1, 100, 1)
    assert totals["present"]["pages"] == 1
    assert totals["proposed"]["pages"] == 0
    (found,) = answer.json()["runs"]
    stored = api.get("/alerts", project="tried").json()["items"]
    assert [one["cause"] for one in found["present"]] == [one["cause"] for one in stored]
    named = api.post("/projects/tried/rules/backtest", {**body, "runs": [run.split("/")[-1]]})
    assert named.json()["totals"] == totals


@pytest.mark.parametrize("runs", [0, 501, [], "all", ["no-id"]])
def test_how_many_runs_is_bounded(api: Api, runs: Any) -> None:
    answer = api.post("/projects/tried/rules/backtest", {"settings": {}, "runs": runs})
    assert problem(answer) == (422, "invalid")


def test_a_run_of_another_project_is_not_found(api: Api) -> None:
    run = api.new_run(project="mine").split("/")[-1]
    answer = api.post("/projects/yours/rules/backtest", {"settings": {}, "runs": [run]})
    assert problem(answer) == (404, "not-found")
