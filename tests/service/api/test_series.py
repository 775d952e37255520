import math

import pytest

from gradwatch_service.api import shapes
from tests.service.api.conftest import Api, problem


@pytest.fixture(scope="module")
def run(api: Api) -> str:
    path = api.new_run()
    losses = [step if step != 700 else "NaN" for step in range(1000)]
    losses[500] = 1e6
    steps = [{"step": 2 * step, "loss": loss} for step, loss in enumerate(losses)]
    assert api.post(f"{path}/steps", {"steps": steps}).status_code == 201
    return path


def test_a_short_series_is_complete(api: Api, run: str):
    found = api.get(f"{run}/series", metric="loss").json()
    shapes.SeriesBody.model_validate(found)
    assert (found["metric"], found["layer"]) == ("loss", None)
    assert found["steps"] == list(range(0, 2000, 2))
    assert (found["total_points"], found["downsampled"]) == (1000, False)


def test_a_long_series_keeps_its_extremes_and_what_is_not_finite(api: Api, run: str):
    found = api.get(f"{run}/series", metric="loss", points=50).json()
    shapes.SeriesBody.model_validate(found)
    assert found["downsampled"]
    assert found["total_points"] == 1000
    assert len(found["steps"]) <= 53
    points = dict(zip(found["steps"], found["values"], strict=True))
    assert points[1000] == 1e6
    assert points[1400] == "NaN"
    assert (points[0], points[1998]) == (0, 999)


def test_a_window_is_cut_out(api: Api, run: str):
    found = api.get(f"{run}/series", **{"metric": "loss", "from": 10, "to": 16}).json()
    assert found["steps"] == [10, 12, 14, 16]


@pytest.mark.parametrize("wanted", [{"metric": "unknown"}, {"metric": "loss", "layer": "unknown"}])
def test_what_was_never_measured_is_empty(api: Api, run: str, wanted):
    found = api.get(f"{run}/series", **wanted).json()
    assert (found["steps"], found["values"], found["total_points"]) == ([], [], 0)


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"metric": ""},
        {"metric": "a\0b"},
        {"metric": "loss", "points": 1},
        {"metric": "loss", "points": 10_001},
        {"metric": "loss", "from": -1},
        {"metric": "loss", "to": 2**53},
        {"metric": "loss", "from": math.nan},
    ],
)
def test_a_question_that_makes_no_sense_is_refused(api: Api, run: str, wanted):
    assert problem(api.get(f"{run}/series", **wanted)) == (422, "invalid")
