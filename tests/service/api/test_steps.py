import pytest

from gradwatch_service.api import shapes
from tests.service.api.conftest import Api, problem


def loss_of(api: Api, run: str) -> list[object]:
    return api.get(f"{run}/series", metric="loss").json()["values"]


def test_steps_are_stored_and_read_back(api: Api):
    run = api.new_run()
    answer = api.post(
        f"{run}/steps",
        {
            "steps": [
                {"step": 0, "loss": 2.5, "layers": {"fc1": {"grad_norm": 1.5}}},
                {"step": 1, "loss": "NaN", "layers": {"fc2": {"grad_norm": "Infinity"}}},
                {"step": 2, "loss": None, "grad_norm": 3},
            ]
        },
    )
    assert answer.status_code == 201
    receipt = answer.json()
    shapes.ReceiptBody.model_validate(receipt)
    assert (receipt["accepted"], receipt["rejected"]) == (3, 0)
    assert loss_of(api, run) == [2.5, "NaN"]
    assert api.get(f"{run}/series", metric="grad_norm").json()["values"] == [3.0]
    for layer, steps, values in (("fc1", [0], [1.5]), ("fc2", [1], ["Infinity"])):
        found = api.get(f"{run}/series", metric="grad_norm", layer=layer).json()
        assert (found["steps"], found["values"]) == (steps, values)


def test_new_layer_names_extend_the_table(api: Api):
    run = api.new_run()
    for step, layer in enumerate(("a", "b")):
        api.post(f"{run}/steps", {"steps": [{"step": step, "layers": {layer: {"grad_norm": 1}}}]})
    assert api.get(run).json()["layers_count"] == 2


def test_steps_already_stored_are_not_stored_again(api: Api):
    run = api.new_run()
    steps = [{"step": step, "loss": step} for step in range(3)]
    assert api.post(f"{run}/steps", {"steps": steps[:2]}).status_code == 201
    receipt = api.post(f"{run}/steps", {"steps": steps}).json()
    assert (receipt["status"], receipt["accepted"], receipt["duplicates"]) == ("stored", 1, 2)
    again = api.post(f"{run}/steps", {"steps": steps})
    assert (again.status_code, again.json()["status"]) == (200, "duplicate")
    assert loss_of(api, run) == [0, 1, 2]


def test_an_idempotency_key_stores_a_push_once(api: Api):
    run = api.new_run()
    body = {"steps": [{"step": 5, "loss": 1}]}
    first, again = (api.post(f"{run}/steps", body, **{"idempotency-key": "k1"}) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    other = api.post(f"{run}/steps", {"steps": [{"step": 6}]}, **{"idempotency-key": "k1"})
    assert problem(other) == (409, "conflict")
    assert loss_of(api, run) == [1]


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\xe9"])
def test_an_idempotency_key_is_short_and_visible(api: Api, key):
    answer = api.send(
        "POST",
        f"{api.new_run()}/steps",
        json={"steps": [{"step": 0}]},
        headers={"idempotency-key": key.encode("latin-1")},
    )
    assert problem(answer) == (422, "invalid")


def test_good_steps_are_stored_and_broken_ones_named(api: Api):
    run = api.new_run()
    steps = [{"step": 0, "loss": 1}, {"step": -1}, {"step": 2, "loss": "high"}, {"step": 3}]
    answer = api.post(f"{run}/steps", {"steps": steps})
    assert answer.status_code == 201
    receipt = answer.json()
    shapes.ReceiptBody.model_validate(receipt)
    assert (receipt["accepted"], receipt["rejected"]) == (2, 2)
    assert [(item["index"], item["pointer"], item["code"]) for item in receipt["rejections"]] == [
        (1, "/steps/1/step", "out-of-range"),
        (2, "/steps/2/loss", "not-a-number"),
    ]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "unreadable"),
        (b"{", 400, "unreadable"),
        (b'{"steps": [{"step": 0, "loss": 1e999}]}', 400, "number-overflow"),
        (b'{"steps": [{"step": 0, "step": 1}]}', 400, "duplicate-key"),
        (b'{"steps": ' + b"[" * 50_000, 400, "too-deep"),
        (b'{"steps": []}', 422, "invalid"),
        (b'{"steps": [{"step": -1}, 5]}', 422, "invalid"),
        (b'{"steps": [' + b'{"step":0},' * 1000 + b'{"step":0}]}', 413, "too-large"),
        (b'{"steps": [' + b" " * 2**22 + b"]}", 413, "too-large"),
    ],
)
def test_a_broken_body_is_refused(api: Api, body, status, code):
    assert problem(api.post_raw(f"{api.new_run()}/steps", body)) == (status, code)


def test_bare_nan_is_stored_with_a_warning(api: Api):
    run = api.new_run()
    answer = api.post_raw(f"{run}/steps", b'{"steps": [{"step": 0, "loss": NaN}]}')
    assert answer.status_code == 201
    assert 'send the strings "NaN"' in answer.json()["warnings"][0]
    assert loss_of(api, run) == ["NaN"]


def test_a_resume_may_go_over_old_steps_again(api: Api):
    identity = api.new_run(launch_id="a").removeprefix("/runs/")
    run = f"/runs/{identity}"
    for step in range(4):
        api.post(f"{run}/steps", {"steps": [{"step": step, "loss": step}]})
    api.post("/runs", {"project": "test", "id": identity, "launch_id": "b", "resume_step": 2})
    receipt = api.post(f"{run}/steps", {"steps": [{"step": 2, "loss": 20}]}).json()
    assert (receipt["accepted"], receipt["duplicates"]) == (1, 0)
    assert loss_of(api, run) == [0, 1, 20]
