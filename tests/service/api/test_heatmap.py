import msgpack
import numpy as np
import pytest

from gradwatch_service.api import curve_shapes
from gradwatch_service.domain import is_missing
from tests.service.api.conftest import Api, problem

LAYERS = [{"name": name, "kind": "linear", "depth": depth} for depth, name in enumerate("cab")]


@pytest.fixture(scope="module")
def run(api: Api) -> str:
    path = api.new_run(layers=LAYERS)
    steps = [
        {
            "step": 10 * step,
            "layers": {"c": {"grad_norm": 1.5 + step}, "b": {"grad_norm": -float(step)}},
        }
        for step in range(20)
    ]
    steps[4]["layers"]["c"]["grad_norm"] = "NaN"
    steps[5]["layers"]["b"]["grad_norm"] = "-Infinity"
    assert api.post(f"{path}/steps", {"steps": steps}).status_code == 201
    return path


def ask(api: Api, path: str, accept: str, **params: object):
    return api.send(
        "GET", path, params={"metric": "grad_norm", **params}, headers={"accept": accept}
    )


def test_every_step_has_its_column_and_layers_are_in_depth_order(api: Api, run: str):
    found = api.get(f"{run}/heatmap", metric="grad_norm").json()
    curve_shapes.HeatmapBody.model_validate(found)
    assert found["layers"] == [["c"], ["a"], ["b"]]
    assert found["steps"] == list(range(0, 200, 10))
    assert found["last_step"] == 190
    assert found["low"] == found["high"]
    assert found["low"][0][:6] == [1.5, 2.5, 3.5, 4.5, None, 6.5]
    assert found["low"][1] == [None] * 20
    assert sorted(found["nonfinite"]) == [[0, 4, "NaN"], [2, 5, "-Infinity"]]


def test_fewer_cells_keep_the_extremes(api: Api, run: str):
    wanted = {"metric": "grad_norm", "rows": 2, "cols": 4, "from": 0, "to": 159}
    found = api.get(f"{run}/heatmap", **wanted).json()
    curve_shapes.HeatmapBody.model_validate(found)
    assert found["layers"] == [["c", "a"], ["b"]]
    assert found["steps"] == [0, 37, 75, 113]
    assert found["low"] == [[1.5, 6.5, 9.5, 13.5], [-3.0, -7.0, -11.0, -15.0]]
    assert found["high"] == [[4.5, 8.5, 12.5, 16.5], [0.0, -4.0, -8.0, -12.0]]
    assert sorted(found["nonfinite"]) == [[0, 1, "NaN"], [1, 1, "-Infinity"]]


def test_msgpack_has_the_same_in_packed_arrays(api: Api, run: str):
    text = ask(api, f"{run}/heatmap", "application/json").json()
    answer = ask(api, f"{run}/heatmap", "application/msgpack")
    assert answer.headers["content-type"] == "application/msgpack"
    assert answer.headers["vary"] == "Accept"
    found = msgpack.unpackb(answer.content)
    shape = np.frombuffer(found["shape"], "<i8")
    low = np.frombuffer(found["low"], "<f4").reshape(shape)
    assert np.frombuffer(found["steps"], "<i8").tolist() == text["steps"]
    assert found["layers"] == text["layers"]
    assert [[None if is_missing(x) else float(x) for x in row] for row in low] == text["low"]
    assert found["kinds"].count(b"\x01") == found["kinds"].count(b"\x04") == 1


def test_float32_alone_says_its_shape_and_order(api: Api, run: str):
    answer = ask(api, f"{run}/heatmap", "application/octet-stream", cols=5)
    assert answer.headers["x-gradwatch-shape"] == "3,3,5"
    assert answer.headers["x-gradwatch-order"] == "low,high,kinds"
    assert answer.headers["x-gradwatch-last-step"] == "190"
    low, high, kinds = np.frombuffer(answer.content, "<f4").reshape(3, 3, 5)
    assert (low[0].tolist(), high[2].tolist()) == (
        [1.5, 6.5, 9.5, 13.5, 17.5],
        [0.0, -4.0, -8.0, -12.0, -16.0],
    )
    assert kinds.tolist() == [[0, 1, 0, 0, 0], [0] * 5, [0, 4, 0, 0, 0]]


def test_a_series_comes_packed_as_well(api: Api, run: str):
    answer = ask(api, f"{run}/series", "application/octet-stream", layer="b", **{"from": 30})
    assert answer.headers["x-gradwatch-first-step"] == "30"
    assert answer.headers["x-gradwatch-order"] == "steps,values"
    steps, values = np.frombuffer(answer.content, "<f4").reshape(2, 17)
    assert (30 + steps).tolist() == list(range(30, 200, 10))
    assert values[:3].tolist() == [-3.0, -4.0, -np.inf]
    packed = msgpack.unpackb(ask(api, f"{run}/series", "application/msgpack", layer="b").content)
    assert np.frombuffer(packed["values"], "<f8")[:2].tolist() == [0.0, -1.0]
    assert (packed["total_points"], packed["downsampled"]) == (20, False)


def test_what_was_never_measured_is_empty(api: Api, run: str):
    found = api.get(f"{run}/heatmap", metric="other").json()
    assert found["low"] == [[None] * 20] * 3
    empty = api.get(f"{api.new_run()}/heatmap", metric="grad_norm").json()
    assert (empty["layers"], empty["steps"], empty["last_step"]) == ([], [], None)
    raw = ask(api, f"{api.new_run()}/series", "application/octet-stream")
    assert (raw.content, raw.headers["x-gradwatch-shape"]) == (b"", "2,0")


@pytest.mark.parametrize("wanted", [{}, {"metric": "x", "rows": 0}, {"metric": "x", "cols": 1001}])
def test_a_question_that_makes_no_sense_is_refused(api: Api, run: str, wanted):
    assert problem(api.get(f"{run}/heatmap", **wanted)) == (422, "invalid")


def test_an_unknown_run_is_not_found(api: Api):
    path = "/runs/00000000-0000-0000-0000-000000000000"
    assert problem(api.get(f"{path}/heatmap", metric="x")) == (404, "not-found")
    assert problem(api.get(f"{path}/profile", axis="depth")) == (404, "not-found")
