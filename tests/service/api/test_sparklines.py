"""Small curves of many runs at once: right, thinned without losing extremes, of one's own only."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest

from gradwatch_service.api.curve_shapes import SparklineShape
from gradwatch_service.api.shapes import Items
from gradwatch_service.clock import utc_now
from gradwatch_service.store import packing
from gradwatch_service.store.keys import Admin, KeyRequest, create
from tests.service.api.conftest import Api, problem
from tests.service.ingest.rig import make_frame


def identity(path: str) -> str:
    return path.removeprefix("/runs/")


@pytest.fixture(scope="module")
def long_run(api: Api) -> str:
    path = api.new_run(project="a")
    steps = [{"step": step, "loss": float(step), "grad_norm": 1.0} for step in range(1_000)]
    steps[300]["loss"], steps[400]["grad_norm"], steps[700]["loss"] = 1e6, "Infinity", "NaN"
    assert api.post(f"{path}/steps", {"steps": steps}).status_code == 201
    return identity(path)


@pytest.fixture(scope="module")
def short_run(api: Api) -> str:
    path = api.new_run(project="b")
    assert api.post(f"{path}/steps", {"steps": [{"step": 5, "loss": 0.5}]}).status_code == 201
    return identity(path)


def test_a_long_run_becomes_a_few_points_that_keep_extremes_and_what_is_not_finite(
    api: Api, long_run: str
):
    answer = api.get("/sparklines", run=long_run)
    Items[SparklineShape].model_validate(answer.json())
    (item,) = answer.json()["items"]
    loss = dict(zip(item["loss"]["steps"], item["loss"]["values"], strict=True))
    assert len(loss) <= 62
    assert (loss[0], loss[300], loss[700], loss[999]) == (0.0, 1e6, "NaN", 999.0)
    assert "Infinity" in item["grad_norm"]["values"]


def test_it_shows_what_the_series_shows(api: Api, long_run: str):
    (item,) = api.get("/sparklines", run=long_run, points=40).json()["items"]
    for metric in ("loss", "grad_norm"):
        series = api.get(f"/runs/{long_run}/series", metric=metric, points=40).json()
        assert item[metric] == {"steps": series["steps"], "values": series["values"]}


def test_runs_come_in_the_order_asked_and_missing_ones_are_left_out(
    api: Api, long_run: str, short_run: str
):
    asked = [short_run, str(uuid.uuid4()), long_run]
    items = api.get("/sparklines", run=asked).json()["items"]
    assert [item["run_id"] for item in items] == [short_run, long_run]
    assert items[0]["loss"] == {"steps": [5], "values": [0.5]}
    assert items[0]["grad_norm"] == {"steps": [], "values": []}


def test_of_a_job_of_many_ranks_a_few_are_shown(api: Api):
    run = api.new_run(project="ranks")
    for rank in range(9):
        frame = make_frame([0, 1], loss=float(rank), grad_norm=1.0)
        path = f"{run}/writers/rank{rank}/frames/0"
        assert api.put(path, packing.pack(frame)).status_code == 201
    (item,) = api.get("/sparklines", run=identity(run)).json()["items"]
    assert item["loss"] == {"steps": [0] * 4 + [1] * 4, "values": [0.0, 1.0, 2.0, 3.0] * 2}


def test_a_key_sees_those_of_its_own_project(api: Api, long_run: str, short_run: str):
    now = utc_now()
    request = KeyRequest("b", "k", ("read",), now + dt.timedelta(days=1))
    issued = api.app.state.backend.write(lambda c: create(c, request, Admin("test", None, now)))
    headers = {"authorization": f"Bearer {issued.text}"}
    query = {"run": [long_run, short_run]}
    items = api.send("GET", "/sparklines", params=query, headers=headers).json()["items"]
    assert [item["run_id"] for item in items] == [short_run]


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"run": "x"},
        {"run": [str(uuid.uuid4())] * 51},
        {"run": str(uuid.uuid4()), "points": 1},
        {"run": str(uuid.uuid4()), "points": 201},
        {"run": str(uuid.uuid4()), "metric": "loss"},
    ],
)
def test_a_question_that_makes_no_sense_is_refused(api: Api, query):
    assert problem(api.get("/sparklines", **query)) == (422, "invalid")
