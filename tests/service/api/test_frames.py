import gzip
import math

import msgpack
import numpy as np
import pytest

from gradwatch_service.api import shapes
from gradwatch_service.domain import MISSING32, MISSING64, Layer, LayerTable
from tests.service.api.conftest import Api, problem

TABLE = LayerTable((Layer("fc1"), Layer("fc2")))
LAYERS = [layer.as_json() for layer in TABLE.layers]


def packed(steps, **fields):
    return msgpack.packb({"steps": np.array(steps, "<i8").tobytes(), **fields})


def scalars(**columns):
    return {name: np.array(column, "<f8").tobytes() for name, column in columns.items()}


def frames(run, writer="w0"):
    return f"{run}/writers/{writer}/frames"


def test_a_frame_is_stored_once_and_acknowledged_for_ever(api: Api):
    run = api.new_run()
    body = packed([0, 1], scalars=scalars(loss=[2.0, 1.5]))
    first, again = (api.put(f"{frames(run)}/0", body) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    for answer, status, accepted, duplicates in (
        (first, "stored", 2, 0),
        (again, "duplicate", 0, 2),
    ):
        receipt = answer.json()
        shapes.ReceiptBody.model_validate(receipt)
        assert receipt["status"] == status
        assert (receipt["accepted"], receipt["duplicates"]) == (accepted, duplicates)
        assert (receipt["contiguous_through"], receipt["rejected"]) == (0, 0)
        assert receipt["guard"].keys() == shapes.GuardBody.model_fields.keys()
    series = api.get(f"{run}/series", metric="loss").json()
    assert (series["steps"], series["values"]) == ([0, 1], [2.0, 1.5])


def test_another_body_under_the_same_number_is_a_conflict(api: Api):
    run = api.new_run()
    api.put(f"{frames(run)}/0", packed([0]))
    assert problem(api.put(f"{frames(run)}/0", packed([1]))) == (409, "conflict")


def test_a_gap_is_reported(api: Api):
    run = api.new_run()
    api.put(f"{frames(run)}/0", packed([0]))
    receipt = api.put(f"{frames(run)}/3", packed([3])).json()
    assert (receipt["contiguous_through"], receipt["gaps"]) == (0, [[1, 2]])


def test_layers_the_run_does_not_know_are_asked_for(api: Api):
    run = api.new_run()
    body = packed(
        [0],
        layers_hash=TABLE.hash,
        layers={"grad_norm": np.array([[1.0, np.nan]], "<f4").tobytes()},
    )
    assert problem(api.put(f"{frames(run)}/0", body)) == (409, "unknown-layers")
    api.post("/runs", {"project": "test", "id": run.removeprefix("/runs/"), "layers": LAYERS})
    assert api.put(f"{frames(run)}/0", body).status_code == 201
    found = api.get(f"{run}/series", metric="grad_norm", layer="fc2").json()
    assert found["values"] == ["NaN"]


def test_a_json_frame_is_the_same_as_a_packed_one(api: Api):
    run = api.new_run(layers=LAYERS)
    answer = api.send(
        "PUT",
        f"{frames(run)}/0",
        json={
            "steps": [7, 8],
            "scalars": {"loss": ["NaN", None]},
            "layers_hash": TABLE.hash,
            "layers": {"grad_norm": [[1.5, None], ["-Infinity", 3]]},
        },
    )
    assert answer.status_code == 201
    loss = api.get(f"{run}/series", metric="loss").json()
    assert (loss["steps"], loss["values"]) == ([7], ["NaN"])
    first = api.get(f"{run}/series", metric="grad_norm", layer="fc1").json()
    assert (first["steps"], first["values"]) == ([7, 8], [1.5, "-Infinity"])
    second = api.get(f"{run}/series", metric="grad_norm", layer="fc2").json()
    assert (second["steps"], second["values"]) == ([8], [3.0])


def test_a_reported_nan_is_kept_apart_from_what_was_not_measured(api: Api):
    run = api.new_run(layers=LAYERS)
    body = packed(
        [0, 1, 2, 3],
        scalars=scalars(loss=[math.nan, MISSING64, math.inf, -math.inf]),
        layers_hash=TABLE.hash,
        layers={
            "grad_norm": np.array(
                [[math.nan, 1], [MISSING32, 1], [math.inf, 1], [-math.inf, 1]], "<f4"
            ).tobytes()
        },
    )
    assert api.put(f"{frames(run)}/0", body).status_code == 201
    for wanted in ({"metric": "loss"}, {"metric": "grad_norm", "layer": "fc1"}):
        found = api.get(f"{run}/series", **wanted).json()
        assert found["steps"] == [0, 2, 3]
        assert found["values"] == ["NaN", "Infinity", "-Infinity"]


def test_bare_tokens_are_accepted_with_a_warning(api: Api):
    run = api.new_run()
    body = b'{"steps": [0], "scalars": {"loss": [NaN]}}'
    receipt = api.put(f"{frames(run)}/0", body, "application/json").json()
    shapes.ReceiptBody.model_validate(receipt)
    assert len(receipt["warnings"]) == 1
    assert api.get(f"{run}/series", metric="loss").json()["values"] == ["NaN"]


MSGPACK, JSON, FORM = "application/msgpack", "application/json", "application/x-www-form-urlencoded"
BROKEN = {
    "no msgpack": (b"\xc1", MSGPACK, 400, "unreadable"),
    "nothing": (b"", MSGPACK, 400, "unreadable"),
    "no map": (msgpack.packb([1]), MSGPACK, 400, "unreadable"),
    "a depth bomb": (b"\x91" * 5000, MSGPACK, 400, "unreadable"),
    "an array bomb": (b"\xdd\xff\xff\xff\xff", MSGPACK, 400, "unreadable"),
    "a list for bytes": (msgpack.packb({"steps": [0]}), MSGPACK, 422, "invalid"),
    "a negative step": (packed([-1]), MSGPACK, 422, "invalid"),
    "a huge step": (packed([2**53]), MSGPACK, 422, "invalid"),
    "a long scalar": (packed([0], scalars=scalars(loss=[1, 2])), MSGPACK, 422, "invalid"),
    "a bad name": (packed([0], scalars={"a\0b": bytes(8)}), MSGPACK, 422, "invalid"),
    "no table": (packed([0], layers={"grad_norm": bytes(4)}), MSGPACK, 422, "invalid"),
    "too many steps": (packed(range(1001)), MSGPACK, 413, "too-large"),
    "an overflow": (b'{"steps": [1e999]}', JSON, 400, "number-overflow"),
    "a double key": (b'{"steps": [0], "steps": [1]}', JSON, 400, "duplicate-key"),
    "a JSON depth bomb": (b"[" * 10_000, JSON, 400, "too-deep"),
    "a step in quotes": (b'{"steps": ["0"]}', JSON, 422, "invalid"),
    "a form": (b"steps=0", FORM, 415, "unsupported-media"),
    "no media type": (b"{}", "", 415, "unsupported-media"),
}


@pytest.mark.parametrize(("body", "media", "status", "code"), BROKEN.values(), ids=BROKEN)
def test_a_broken_frame_is_refused(api: Api, body, media, status, code):
    answer = api.put(f"{frames(api.new_run())}/0", body, media)
    assert problem(answer) == (status, code)


def test_a_frame_that_breaks_the_contract_uses_its_number_up(api: Api):
    run = api.new_run()
    broken = packed([-5])
    for _ in range(2):
        assert problem(api.put(f"{frames(run)}/0", broken)) == (422, "invalid")
    receipt = api.put(f"{frames(run)}/1", packed([1])).json()
    assert (receipt["contiguous_through"], receipt["gaps"]) == (1, [])
    assert problem(api.put(f"{frames(run)}/0", packed([0]))) == (409, "conflict")


def test_an_unreadable_frame_leaves_its_number_free(api: Api):
    run = api.new_run()
    assert problem(api.put(f"{frames(run)}/0", b"\xc1")) == (400, "unreadable")
    assert api.put(f"{frames(run)}/0", packed([0])).status_code == 201


@pytest.mark.parametrize("seq", ["-1", "1.5", "x", "9" * 19, "%E0%A5%A6"])
def test_a_sequence_number_that_is_none_has_no_frame(api: Api, seq):
    assert problem(api.put(f"{frames(api.new_run())}/{seq}", packed([0]))) == (404, "not-found")


@pytest.mark.parametrize("writer", ["a%00b", "%0A", "w" * 513])
def test_a_writer_has_a_proper_name(api: Api, writer):
    run = api.new_run()
    assert problem(api.put(f"{frames(run, writer)}/0", packed([0]))) == (422, "invalid")


def test_the_digest_is_that_of_the_plain_body(api: Api):
    run = api.new_run()
    body = packed([0])
    api.put(f"{frames(run)}/0", body)
    answer = api.send(
        "PUT",
        f"{frames(run)}/0",
        content=gzip.compress(body),
        headers={"content-type": "application/msgpack", "content-encoding": "gzip"},
    )
    assert (answer.status_code, answer.json()["duplicates"]) == (200, 1)


def test_many_writers_do_not_disturb_one_another(api: Api):
    run = api.new_run()
    for writer in range(5):
        for seq in range(3):
            body = packed([seq], scalars=scalars(**{f"loss{writer}": [seq]}))
            assert api.put(f"{frames(run, f'rank-{writer}')}/{seq}", body).status_code == 201
    for writer in range(5):
        found = api.get(f"{run}/series", metric=f"loss{writer}").json()
        assert found["values"] == [0, 1, 2]


def test_a_frame_shows_the_run_alive(api: Api):
    run = api.new_run()
    api.put(f"{frames(run)}/0", packed([41]))
    assert api.get(run).json()["last_step"] == 41
