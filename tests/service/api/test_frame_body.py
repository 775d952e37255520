import math

import numpy as np
import pytest

from gradwatch_service.api.frame_body import pack_json
from gradwatch_service.domain import Layer, LayerTable, is_missing
from gradwatch_service.errors import Invalid
from gradwatch_service.store.packing import unpack

TABLE = LayerTable((Layer("a"), Layer("b")))


def frame(**changes):
    return {
        "steps": [4, 5],
        "time": [1.0, None],
        "scalars": {"loss": ["NaN", None]},
        "layers_hash": TABLE.hash,
        "layers": {"grad_norm": [[1.0, None], ["Infinity", 1e39]]},
        "profiles": {"time": [[1, 2, 3], [4, 5, "-Infinity"]]},
        "events": [{"kind": "note", "step": 4, "text": "µ"}],
        **changes,
    }


def test_a_json_frame_means_the_same_as_a_packed_one():
    found = unpack(pack_json(frame()))
    assert found.steps.tolist() == [4, 5]
    assert is_missing(found.time).tolist() == [False, True]
    assert np.isnan(found.scalars["loss"]).all()
    assert is_missing(found.scalars["loss"]).tolist() == [False, True]
    assert is_missing(found.layers["grad_norm"]).tolist() == [[False, True], [False, False]]
    assert found.layers["grad_norm"][1].tolist() == [math.inf, float(np.finfo(np.float32).max)]
    assert found.profiles["time"].tolist() == [[1, 2, 3], [4, 5, -math.inf]]
    assert found.events == ({"kind": "note", "step": 4, "text": "µ"},)
    assert found.layers_hash == TABLE.hash


@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"steps": 5}, "/steps", "not-a-list"),
        ({"steps": [4, "5"]}, "/steps/1", "not-an-integer"),
        ({"steps": [4, -5]}, "/steps/1", "out-of-range"),
        ({"time": [1, "noon"]}, "/time/1", "not-a-time"),
        ({"scalars": []}, "/scalars", "not-an-object"),
        ({"scalars": {"loss": 5}}, "/scalars/loss", "not-a-list"),
        ({"scalars": {"loss": [1, True]}}, "/scalars/loss/1", "not-a-number"),
        ({"scalars": {"a\ud800": [1, 2]}}, "/scalars", "bad-name"),
        ({"\ud800": 1}, "", "bad-text"),
        ({"layers": {"grad_norm": [1, 2]}}, "/layers/grad_norm", "not-a-list"),
        ({"layers": {"grad_norm": [[1, 2]]}}, "/layers/grad_norm", "wrong-length"),
        ({"layers": {"grad_norm": [[1, 2], [1]]}}, "/layers/grad_norm", "ragged"),
        ({"layers": {"grad_norm": [[1, 2], [1, "x"]]}}, "/layers/grad_norm/1", "not-a-number"),
        ({"events": [{"kind": "note", "count": 2**70}]}, "/events", "number-overflow"),
        ({"events": [{"kind": "note", "text": "\ud800"}]}, "/events", "bad-text"),
    ],
)
def test_a_broken_value_is_named(changes, pointer, code):
    with pytest.raises(Invalid) as caught:
        pack_json(frame(**changes))
    assert [(error.pointer, error.code) for error in caught.value.errors] == [(pointer, code)]


@pytest.mark.parametrize(
    "changes",
    [
        {"scalars": {"loss": [1]}},
        {"surprise": 1},
        {"layers_hash": "short"},
        {"layers_hash": ""},
        {"events": {}},
        {"events": [{}]},
        {"steps": []},
    ],
)
def test_what_has_the_right_form_but_breaks_the_contract_is_found_in_the_packed_form(changes):
    with pytest.raises(Invalid):
        unpack(pack_json(frame(**changes)))


def test_many_broken_values_are_named_in_one_answer_but_not_all():
    with pytest.raises(Invalid) as caught:
        pack_json({"steps": ["x"] * 1000})
    assert len(caught.value.errors) == 20


@pytest.mark.parametrize("value", [None, 5, [], "frame"])
def test_a_frame_must_be_an_object(value):
    with pytest.raises(Invalid):
        pack_json(value)
