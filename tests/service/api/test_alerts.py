import uuid

import pytest

from gradwatch_service.api import alert_shapes, shapes
from tests.service.api.conftest import Api, problem


@pytest.fixture(scope="module")
def run(api: Api) -> str:
    """A run whose loss turned NaN after a healthy start."""
    path = api.new_run(project="alarming")
    steps = [
        {"step": step, "loss": 1.0, "grad_norm": 1.0, "layers": {"fc1": {"grad_norm": 1.0}}}
        for step in range(40)
    ]
    broken = [
        {"step": step, "loss": "NaN", "grad_norm": "NaN", "layers": {"fc1": {"grad_norm": "NaN"}}}
        for step in range(40, 48)
    ]
    for push in (steps, broken):
        assert api.post(f"{path}/steps", {"steps": push}).status_code == 201
    return path


def test_an_alert_is_raised_and_shown(api: Api, run: str):
    page = api.get("/alerts", project="alarming", rule="non-finite").json()
    shapes.Items[shapes.Alert].model_validate(page)
    (alert,) = page["items"]
    assert alert["run_id"] == run.removeprefix("/runs/")
    assert (alert["rule"], alert["state"], alert["opened_step"]) == ("non-finite", "firing", 40)
    assert alert["advice"]
    shown = api.get(f"/alerts/{alert['id']}").json()
    alert_shapes.AlertWithHistory.model_validate(shown)
    assert [(past["kind"], past["step"], past["writer"]) for past in shown.pop("history")] == [
        ("firing", 40, "steps"),
        ("worsened", 43, "steps"),
    ]
    assert shown == alert


def test_the_run_is_critical(api: Api, run: str):
    found = api.get(run).json()
    assert found["health"] == "critical"
    assert found["open_alerts"] >= 1
    assert found["degraded"] is None


def test_the_receipt_carries_the_alerts_it_changed_and_the_advice(api: Api):
    path = api.new_run(project="receipts")
    good = [{"step": step, "loss": 1.0} for step in range(40)]
    api.post(f"{path}/steps", {"steps": good})
    receipt = api.post(f"{path}/steps", {"steps": [{"step": 40, "loss": "NaN"}]}).json()
    shapes.ReceiptBody.model_validate(receipt)
    assert "non-finite" in [alert["rule"] for alert in receipt["alerts"]]
    assert receipt["advice"]
    assert receipt["health"] == "critical"


@pytest.mark.usefixtures("run")
def test_alerts_are_filtered_by_several_states_causes_and_words(api: Api):
    def found(**wanted):
        return api.get("/alerts", project="alarming", **wanted).json()["items"]

    everything = found()
    (alert,) = found(rule="non-finite")
    assert alert in found(cause=alert["cause"])
    assert found(cause="plateau") == []
    assert found(state=["pending", "firing", "acknowledged", "resolved"]) == everything
    assert found(severity=["info", "warning"]) == []
    assert alert in found(severity=["error", "critical"])
    assert alert in found(title=alert["title"][2:9].upper())
    assert found(title="%") == []
    acted_on = [one["id"] for one in everything if one["actionable"]]
    assert [one["id"] for one in found(actionable=True)] == acted_on
    assert len(found(actionable=False)) == len(everything) - len(acted_on)


def test_alerts_are_filtered(api: Api, run: str):
    def found(**wanted):
        return [
            alert["rule"]
            for alert in api.get("/alerts", project="alarming", **wanted).json()["items"]
        ]

    everything = found()
    assert "non-finite" in everything
    assert found(run=run.removeprefix("/runs/")) == everything
    assert found(run=str(uuid.uuid4())) == []
    assert found(state="resolved") == []
    labels = ("info", "warning", "error", "critical")
    assert sorted(rule for label in labels for rule in found(severity=label)) == sorted(everything)


@pytest.mark.usefixtures("run")
def test_alerts_are_listed_page_by_page(api: Api):
    everything = api.get("/alerts").json()["items"]
    seen, cursor = [], {}
    while cursor is not None:
        page = api.get("/alerts", limit=1, **cursor).json()
        seen += page["items"]
        cursor = page["next_cursor"] and {"cursor": page["next_cursor"]}
    assert seen == everything


@pytest.mark.parametrize(
    "wanted",
    [
        {"severity": "bad"},
        {"state": "open"},
        {"run": "x"},
        {"rule": "\n"},
        {"limit": 0},
        {"state": ["firing"] * 5},
        {"actionable": "perhaps"},
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(api: Api, wanted):
    assert problem(api.get("/alerts", **wanted)) == (422, "invalid")


def test_advice_is_ranked_and_numbered(api: Api, run: str):
    page = api.get(f"{run}/advice").json()
    shapes.Items[shapes.Advice].model_validate(page)
    assert page["items"]
    assert page["next_cursor"] is None
    (alert,) = api.get("/alerts", project="alarming", rule="non-finite").json()["items"]
    assert {item["id"] for item in page["items"]} >= {item["id"] for item in alert["advice"]}


def test_a_healthy_run_needs_no_advice(api: Api):
    path = api.new_run()
    api.post(f"{path}/steps", {"steps": [{"step": 0, "loss": 1.0}]})
    assert api.get(f"{path}/advice").json()["items"] == []


def test_the_guard_is_that_of_the_last_receipt(api: Api, run: str):
    guard = api.get(f"{run}/guard").json()
    shapes.GuardBody.model_validate(guard)
    again = api.post(f"{run}/steps", {"steps": [{"step": 0}]}).json()
    assert guard == again["guard"]
    assert guard["skip_nonfinite"] is True


def burning(api: Api, project: str) -> str:
    """The path of a firing alert of a fresh run."""
    path = api.new_run(project=project)
    broken = [{"step": step, "loss": "NaN"} for step in range(3)]
    api.post(f"{path}/steps", {"steps": broken})
    (alert,) = api.get("/alerts", project=project, state="firing").json()["items"]
    return f"/alerts/{alert['id']}"


def test_an_alert_is_acknowledged_and_resolved_and_fires_again(api: Api):
    path = burning(api, "acted")
    said = api.post(f"{path}/acknowledge", {"by": "ada", "comment": "on it"}).json()
    alert_shapes.AlertWithHistory.model_validate(said)
    assert (said["state"], said["acknowledged_by"], said["comment"]) == (
        "acknowledged",
        "ada",
        "on it",
    )
    assert said["acknowledged_at"] is not None
    assert [item["id"] for item in api.get("/alerts", state="acknowledged").json()["items"]] == [
        said["id"]
    ]
    assert api.post(f"{path}/acknowledge", {"by": "ada", "comment": "on it"}).json() == said
    over = api.post(f"{path}/resolve", {}).json()
    assert (over["state"], over["resolved_by"], over["acknowledged_by"]) == (
        "resolved",
        "somebody",
        None,
    )
    assert api.post(f"{path}/resolve", {}).json() == over
    assert problem(api.post(f"{path}/acknowledge", {})) == (409, "conflict")
    api.post(f"/runs/{over['run_id']}/steps", {"steps": [{"step": 3, "loss": "NaN"}]})
    again = api.get(path).json()
    assert (again["state"], again["regressed"], again["resolved_by"]) == ("firing", True, None)
    done = [(past["kind"], past["by"]) for past in again["history"] if past["by"]]
    assert done == [("acknowledged", "ada"), ("resolved", "somebody")]


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("act", ["acknowledge", "resolve"])
def test_an_act_on_no_alert_or_of_no_sense_is_refused(api: Api, act: str):
    (alert,) = api.get("/alerts", project="alarming", rule="non-finite").json()["items"]
    assert problem(api.post(f"/alerts/{uuid.uuid4()}/{act}", {})) == (404, "not-found")
    for body in ({"by": ""}, {"comment": 3}, {"why": "x"}):
        assert problem(api.post(f"/alerts/{alert['id']}/{act}", body)) == (422, "invalid")


def test_the_alerts_of_a_finished_run_are_over_and_say_why(api: Api):
    path = burning(api, "ended")
    run = api.get(path).json()["run_id"]
    ended = api.post(f"/runs/{run}/finish", {"state": "finished"}).json()
    assert (ended["state"], ended["health"], ended["open_alerts"]) == ("finished", "critical", 0)
    alert = api.get(path).json()
    assert (alert["state"], alert["resolved_by"]) == ("resolved", "the end of the run")
    assert alert["history"][-1]["text"] == alert["comment"] == "the run has ended"
    assert api.get(f"/runs/{run}/advice").json()["items"]
