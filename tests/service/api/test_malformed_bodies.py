"""Promise 10 in small: no body, however broken, gets a 5xx or an answer over 8 KiB."""

import itertools
import json
from collections.abc import Iterator

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradwatch_service.api.rejections import KNOWN
from tests.reliability.counts import times
from tests.service.api.conftest import Api

numbers = st.integers(-(2**65), 2**65) | st.floats()
words = st.sampled_from(["NaN", "Infinity", "-Infinity", "loss", "\0", "\ud800", "", "a/b~c"])
keys = words | st.sampled_from(sorted(KNOWN))
leaves = st.none() | st.booleans() | numbers | words | st.text(max_size=5)
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
step_items = st.dictionaries(keys, trees, max_size=4) | st.fixed_dictionaries(
    {"step": st.integers(0, 5)}, optional={"loss": leaves, "time": leaves, "layers": trees}
)
likely = {
    "/steps": st.fixed_dictionaries({"steps": st.lists(step_items | trees, max_size=4) | trees}),
    "/writers/w/frames/0": st.fixed_dictionaries(
        {"steps": st.lists(leaves, max_size=3) | st.just([0, 1])},
        optional={
            "time": trees,
            "scalars": st.dictionaries(keys, st.lists(leaves, max_size=3)) | trees,
            "layers": st.dictionaries(keys, st.lists(st.lists(leaves, max_size=2))) | trees,
            "layers_hash": words | st.just("0" * 64),
            "profiles": trees,
            "events": st.lists(st.dictionaries(keys, trees, max_size=3), max_size=2) | trees,
        },
    ),
    "/events": st.fixed_dictionaries({"events": st.lists(trees, max_size=3) | trees}),
    "/finish": st.dictionaries(keys, trees, max_size=3),
    "": st.dictionaries(st.sampled_from(["name", "tags", "x"]), trees, max_size=3),
}
paths = st.sampled_from(sorted(likely))
packable = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats()
    | st.binary(max_size=24)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(keys.filter(lambda key: key != "\ud800"), inner, max_size=4)
    ),
    max_leaves=10,
)
packed_frames = st.fixed_dictionaries(
    {"steps": st.binary(max_size=24) | st.just(bytes(16)) | packable},
    optional={
        "time": st.binary(max_size=24),
        "scalars": st.dictionaries(st.text("ab\0", max_size=2), st.binary(max_size=24)) | packable,
        "layers": st.dictionaries(st.text("ab", max_size=2), st.binary(max_size=24)) | packable,
        "layers_hash": st.sampled_from(["", "0" * 64, "x"]) | packable,
        "profiles": st.dictionaries(st.text("ab", max_size=2), st.binary(max_size=24)) | packable,
        "events": packable,
    },
)

many = settings(max_examples=times(250, 700), deadline=None)
numbered = itertools.count()


@pytest.fixture(scope="module")
def run(api: Api) -> Iterator[str]:
    """One run for all bodies; after them it must still be in order."""
    path = api.new_run()
    yield path
    found = api.get(path)
    assert found.status_code == 200
    assert found.json()["degraded"] is None


def check(api: Api, path: str, body: bytes, media: str = "application/json") -> None:
    path = path.replace("writers/w", f"writers/w{next(numbered)}")
    method = "PUT" if "frames" in path else "PATCH" if path.count("/") == 2 else "POST"
    answer = api.send(method, path, content=body, headers={"content-type": media})
    assert answer.status_code < 500
    if answer.status_code >= 400:
        assert len(answer.content) <= 8192
        assert answer.json()["status"] == answer.status_code


@many
@given(path=paths, tree=trees, data=st.data())
def test_json_of_the_wrong_shape_never_breaks_the_service(api: Api, run: str, path, tree, data):
    body = data.draw(st.just(tree) | likely[path])
    check(api, run + path, json.dumps(body).encode())


@many
@given(path=paths, body=st.binary(max_size=60) | st.text('[]{}",:0-9.eE+nullNaN\\ud', max_size=60))
def test_bytes_that_are_hardly_json_never_break_the_service(api: Api, run: str, path, body):
    check(api, run + path, body if isinstance(body, bytes) else body.encode())


@many
@given(frame=packed_frames | packable)
def test_msgpack_of_the_wrong_shape_never_breaks_the_service(api: Api, run: str, frame):
    check(api, f"{run}/writers/w/frames/0", msgpack.packb(frame), "application/msgpack")


@many
@given(body=st.binary(max_size=80))
def test_bytes_that_are_hardly_msgpack_never_break_the_service(api: Api, run: str, body):
    check(api, f"{run}/writers/w/frames/0", body, "application/msgpack")
