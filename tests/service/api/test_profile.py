import numpy as np
import pytest

from gradwatch_service.api import curve_shapes
from gradwatch_service.domain import Frame, Layer, LayerTable
from gradwatch_service.store import packing
from tests.service.api.conftest import Api, problem

TABLE = LayerTable(tuple(Layer(f"fc{n}", "linear", n, (16, 16)) for n in range(5)))
REPORTS = 16


@pytest.fixture(scope="module")
def run(api: Api) -> str:
    path = api.new_run(layers=[layer.as_json() for layer in TABLE.layers])
    time = np.tile(np.exp2(-np.arange(10.0)), (REPORTS, 1)).astype(np.float32)
    time[:, 4] = 0.0
    frame = Frame(
        np.arange(REPORTS),
        np.arange(REPORTS) * 1.0,
        layers_hash=TABLE.hash,
        layers={"act_grad_norm": np.tile(np.exp2(-2.0 * np.arange(5)), (REPORTS, 1)).astype("<f4")},
        profiles={"time": time},
    )
    assert api.put(f"{path}/writers/w/frames/0", packing.pack(frame)).status_code == 201
    return path


def test_the_signal_against_depth_with_its_growth(api: Api, run: str):
    found = api.get(f"{run}/profile", axis="depth", step=20).json()
    curve_shapes.ProfileBody.model_validate(found)
    assert (found["axis"], found["step"], found["source"]) == ("depth", 15, "act_grad_norm")
    assert [point["layer"] for point in found["points"]] == list(TABLE.names)
    assert [point["at"] for point in found["points"]] == [0, 1, 2, 3, 4]
    assert [point["log2"] for point in found["points"]] == [0, -2, -4, -6, -8]
    assert (found["slope_bits"], found["growth_bits"], found["growth_factor"]) == (2, 8, 256)
    assert found["rank_correlation"] == 1


def test_the_signal_through_time_with_its_growth(api: Api, run: str):
    found = api.get(f"{run}/profile", axis="time").json()
    curve_shapes.ProfileBody.model_validate(found)
    assert (found["axis"], found["step"], found["source"]) == ("time", 15, "profiles.time")
    shown = [point["log2"] for point in found["points"]]
    assert shown == [0, -1, -2, -3, None, -5, -6, -7, -8, -9]
    assert found["slope_bits"] == pytest.approx(1)
    assert found["growth_factor"] == pytest.approx(2**10)


@pytest.mark.parametrize("axis", ["depth", "time"])
def test_where_nothing_was_measured_the_profile_is_empty(api: Api, axis: str):
    found = api.get(f"{api.new_run()}/profile", axis=axis).json()
    curve_shapes.ProfileBody.model_validate(found)
    assert (found["points"], found["step"], found["growth_bits"]) == ([], None, None)


@pytest.mark.parametrize("wanted", [{"axis": "width"}, {"step": -1}, {"axis": "time", "at": 3}])
def test_a_question_that_makes_no_sense_is_refused(api: Api, run: str, wanted):
    assert problem(api.get(f"{run}/profile", **wanted)) == (422, "invalid")
