import uuid
from typing import Any

import pytest

from gradwatch_service.api import shapes
from tests.service.api.conftest import Api, problem


def steps(first: int, last: int, value: Any = 1.0) -> dict[str, Any]:
    layer = {"fc1": {"grad_norm": value}}
    return {
        "steps": [
            {"step": step, "loss": value, "grad_norm": value, "layers": layer}
            for step in range(first, last)
        ]
    }


def burning(api: Api) -> str:
    """The path of a fresh run whose loss turned NaN at step 40; its last step is 43."""
    path = api.new_run(project="handing")
    api.post(f"{path}/steps", steps(0, 40))
    api.post(f"{path}/steps", steps(40, 44, "NaN"))
    return path


def advised(api: Api, run: str) -> list[dict[str, Any]]:
    return api.get(f"{run}/advice").json()["items"]


def hand(api: Api, run: str, advice_id: str) -> Any:
    return api.send("POST", f"{run}/advice/{advice_id}/hand")


def says(api: Api, run: str, item: dict[str, Any], status: str, step: int) -> None:
    event = {"kind": "advice", "id": item["id"], "action": item["action"], "status": status}
    api.post(f"{run}/events", {"events": [event | {"step": step}]})


def test_what_is_handed_to_the_job_comes_first_in_the_list_and_in_the_next_receipts(api: Api):
    run = burning(api)
    before = advised(api, run)
    assert {item["handed_by"] for item in before} == {None}
    wanted = before[-1]
    answer = hand(api, run, wanted["id"])
    assert answer.status_code == 200
    shapes.Advice.model_validate(answer.json())
    assert answer.json() == wanted | {"handed_by": "local"}
    after = advised(api, run)
    assert after == [wanted | {"handed_by": "local"}, *before[:-1]]
    receipt = api.post(f"{run}/steps", steps(44, 45, "NaN")).json()
    assert receipt["advice"][0]["id"] == wanted["id"]
    assert [item["handed_by"] for item in receipt["advice"][:2]] == ["local", None]


def test_handing_it_twice_is_handing_it_once(api: Api):
    run = burning(api)
    wanted = advised(api, run)[0]["id"]
    first, second = (hand(api, run, wanted) for _ in range(2))
    assert first.json() == second.json()
    noted = [
        one
        for one in api.get("/projects/handing/audit").json()["items"]
        if one["act"] == "advice-handed" and one["target"] == wanted
    ]
    (note,) = noted
    assert note["actor"] == "local"
    assert note["detail"]["run"] == run.removeprefix("/runs/")
    assert note["detail"]["action"] == first.json()["action"]


@pytest.mark.parametrize("status", ["applied", "declined"])
def test_when_the_job_has_answered_the_wish_is_over_and_can_be_made_again(api: Api, status: str):
    run = burning(api)
    wanted = advised(api, run)[-1]
    hand(api, run, wanted["id"])
    says(api, run, wanted, status, 44)
    assert {item["handed_by"] for item in advised(api, run)} == {None}
    receipt = api.post(f"{run}/steps", steps(45, 46, "NaN")).json()
    assert {item["handed_by"] for item in receipt["advice"]} == {None}
    assert hand(api, run, wanted["id"]).json()["handed_by"] == "local"
    assert advised(api, run)[0]["id"] == wanted["id"]


@pytest.mark.parametrize(("status", "step"), [("verified", 50), ("applied", 12)])
def test_what_is_no_answer_leaves_the_wish_as_it_is(api: Api, status: str, step: int):
    run = burning(api)
    wanted = advised(api, run)[-1]
    hand(api, run, wanted["id"])
    says(api, run, wanted, status, step)
    assert advised(api, run)[0]["handed_by"] == "local"


def test_a_wish_is_made_to_one_launch(api: Api):
    run = burning(api)
    hand(api, run, advised(api, run)[0]["id"])
    body = {"project": "handing", "id": run.removeprefix("/runs/"), "launch_id": "again"}
    assert api.post("/runs", body | {"resume_step": 40}).status_code == 200
    assert {item["handed_by"] for item in advised(api, run)} == {None}


def test_a_launch_that_resumed_earlier_counts_from_where_it_is(api: Api):
    run = burning(api)
    wanted = advised(api, run)[0]
    late = wanted["expires_step"] + 1
    api.post(f"{run}/steps", {"steps": [{"step": late}]})
    assert problem(hand(api, run, wanted["id"])) == (404, "not-found")
    body = {"project": "handing", "id": run.removeprefix("/runs/"), "launch_id": "earlier"}
    assert api.post("/runs", body | {"resume_step": 40}).status_code == 200
    api.post(f"{run}/steps", steps(40, 42, "NaN"))
    assert api.get(run).json()["last_step"] == late
    again = next(one for one in advised(api, run) if one["id"] == wanted["id"])
    assert hand(api, run, again["id"]).json()["handed_by"] == "local"
    says(api, run, again, "applied", 42)
    assert {item["handed_by"] for item in advised(api, run)} == {None}


def test_what_is_not_advised_or_no_longer_is_not_there(api: Api):
    run = burning(api)
    assert problem(hand(api, run, str(uuid.uuid4()))) == (404, "not-found")
    assert problem(hand(api, f"/runs/{uuid.uuid4()}", str(uuid.uuid4()))) == (404, "not-found")
    old = advised(api, run)[0]
    late = old["expires_step"] + 1
    api.post(f"{run}/steps", {"steps": [{"step": late}]})
    current = next(item for item in advised(api, run) if item["id"] == old["id"])
    assert current["expires_step"] < late
    assert problem(hand(api, run, old["id"])) == (404, "not-found")


def test_a_run_that_has_ended_takes_nothing(api: Api):
    run = burning(api)
    wanted = advised(api, run)[0]["id"]
    api.post(f"{run}/finish", {"state": "failed"})
    assert problem(hand(api, run, wanted)) == (409, "conflict")
