import math

import numpy as np
import pytest

from gradwatch_service.api import steps_body
from gradwatch_service.api.steps_body import parse_steps
from gradwatch_service.domain import is_missing
from gradwatch_service.errors import Invalid, TooLarge


def parse(*steps):
    return parse_steps({"steps": list(steps)})


def test_steps_become_columns_in_the_order_of_the_push():
    found = parse(
        {"step": 1, "loss": 2.5, "time": 10.0},
        {"step": 3, "grad_norm": 1, "loss": "NaN"},
    )
    assert found.frame.steps.tolist() == [1, 3]
    assert found.frame.time[0] == 10.0
    assert is_missing(found.frame.time).tolist() == [False, True]
    assert list(found.frame.scalars) == ["loss", "grad_norm"]
    assert is_missing(found.frame.scalars["grad_norm"]).tolist() == [True, False]
    assert found.rejections == ()


def test_a_reported_nan_is_not_the_same_as_nothing_measured():
    loss = parse(
        {"step": 0, "loss": "NaN"}, {"step": 1, "loss": None}, {"step": 2, "loss": math.nan}
    ).frame.scalars["loss"]
    assert np.isnan(loss).all()
    assert is_missing(loss).tolist() == [False, True, False]


def test_layers_become_one_table_per_statistic():
    found = parse(
        {"step": 0, "layers": {"fc1": {"grad_norm": 1.0}, "fc2": {"grad_norm": "Infinity"}}},
        {"step": 1, "layers": {"fc3": {"weight_norm": 4.0}, "fc1": {"grad_norm": None}}},
    )
    assert found.layer_names == ("fc1", "fc2", "fc3")
    norms = found.frame.layers["grad_norm"]
    assert norms.dtype == np.float32
    assert norms[0, :2].tolist() == [1.0, math.inf]
    assert is_missing(norms).tolist() == [[False, False, True], [True, True, True]]
    assert found.frame.layers["weight_norm"][1, 2] == 4.0


def test_a_finite_statistic_too_large_for_32_bits_stays_finite():
    found = parse({"step": 0, "layers": {"a": {"grad_norm": 1e39}, "b": {"grad_norm": -1e39}}})
    largest = float(np.finfo(np.float32).max)
    assert found.frame.layers["grad_norm"].tolist() == [[largest, -largest]]


@pytest.mark.parametrize(
    ("broken", "pointer", "code"),
    [
        (5, "/steps/1", "not-an-object"),
        ({}, "/steps/1/step", "not-an-integer"),
        ({"step": -1}, "/steps/1/step", "out-of-range"),
        ({"step": 1, "time": "noon"}, "/steps/1/time", "not-a-time"),
        ({"step": 1, "loss": "high"}, "/steps/1/loss", "not-a-number"),
        ({"step": 1, "my_metric": True}, "/steps/1", "not-a-number"),
        ({"step": 1, "a\nb": 1}, "/steps/1", "bad-name"),
        ({"step": 1, "x" * 513: 1}, "/steps/1", "bad-name"),
        ({"step": 1, "layers": []}, "/steps/1/layers", "not-an-object"),
        ({"step": 1, "layers": {"fc1": 3}}, "/steps/1/layers", "not-an-object"),
        ({"step": 1, "layers": {"": {}}}, "/steps/1/layers", "bad-name"),
        (
            {"step": 1, "layers": {"f": {"grad_norm": []}}},
            "/steps/1/layers/grad_norm",
            "not-a-number",
        ),
    ],
)
def test_a_broken_step_is_named_and_its_neighbours_live(broken, pointer, code):
    found = parse({"step": 0, "loss": 1.0}, broken, {"step": 2, "loss": 3.0})
    assert found.frame.steps.tolist() == [0, 2]
    (rejection,) = found.rejections
    assert (rejection["index"], rejection["pointer"], rejection["code"]) == (1, pointer, code)
    assert rejection["detail"]


def test_a_push_of_which_nothing_is_left_is_invalid():
    with pytest.raises(Invalid) as caught:
        parse({"step": -1}, {"step": "x"})
    assert [error.code for error in caught.value.errors] == ["out-of-range", "not-an-integer"]


@pytest.mark.parametrize("body", [None, [], 5, {}, {"steps": []}, {"steps": {}}, {"steps": None}])
def test_a_body_without_steps_is_invalid(body):
    with pytest.raises(Invalid):
        parse_steps(body)


def test_more_steps_than_a_push_may_carry_are_too_large():
    with pytest.raises(TooLarge):
        parse(*({"step": step} for step in range(1001)))


def test_a_push_that_would_unfold_to_a_huge_frame_is_too_large(monkeypatch):
    monkeypatch.setattr(steps_body, "MAX_CELLS", 100)
    parse(*({"step": step, f"m{step}": 1} for step in range(10)))
    with pytest.raises(TooLarge):
        parse(*({"step": step, f"m{step}": 1} for step in range(11)))
