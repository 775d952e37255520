"""The packed form of a frame: any frame survives bit for bit, and anything else is refused."""

from __future__ import annotations

import contextlib
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from gradwatch_service.domain import MAX_STEP, MISSING32_BITS, MISSING64_BITS, Frame, is_missing
from gradwatch_service.errors import Invalid, TooLarge, Unreadable
from gradwatch_service.store import packing

HASH = "0" * 64
NAMES = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=20)


def bits32(*shape: int) -> st.SearchStrategy[NDArray[Any]]:
    """Any float32, every NaN payload among them."""
    some = st.sampled_from([MISSING32_BITS, 0x7FC00000, 0x7F800000, 0xFF800000])
    return arrays.arrays(np.uint32, shape, elements=some | st.integers(0, 2**32 - 1)).map(
        lambda raw: raw.view(np.float32)
    )


def bits64(count: int) -> st.SearchStrategy[NDArray[Any]]:
    some = st.sampled_from([MISSING64_BITS, 0x7FF8000000000000, 0x7FF0000000000000])
    return arrays.arrays(np.uint64, count, elements=some | st.integers(0, 2**64 - 1)).map(
        lambda raw: raw.view(np.float64)
    )


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    count, width, depth = draw(st.integers(1, 5)), draw(st.integers(1, 4)), draw(st.integers(1, 4))
    layers = draw(st.dictionaries(NAMES, bits32(count, width), max_size=3))
    return Frame(
        steps=draw(arrays.arrays(np.int64, count, elements=st.integers(0, MAX_STEP))),
        time=draw(bits64(count)),
        scalars=draw(st.dictionaries(NAMES, bits64(count), max_size=3)),
        layers_hash=HASH if layers else draw(st.sampled_from(["", HASH])),
        layers=layers,
        profiles=draw(st.dictionaries(NAMES, bits32(count, depth), max_size=2)),
        events=tuple(draw(st.lists(st.fixed_dictionaries({"kind": NAMES}), max_size=2))),
    )


def raw(arrays_by_name: dict[str, NDArray[Any]]) -> dict[str, tuple[tuple[int, ...], bytes]]:
    return {name: (block.shape, block.tobytes()) for name, block in arrays_by_name.items()}


@given(frames())
def test_any_frame_survives_bit_for_bit(frame: Frame) -> None:
    read = packing.unpack(packing.pack(frame))
    assert read.steps.tolist() == frame.steps.tolist()
    assert read.time.tobytes() == frame.time.tobytes()
    assert raw(dict(read.scalars)) == raw(dict(frame.scalars))
    assert raw(dict(read.layers)) == raw(dict(frame.layers))
    assert raw(dict(read.profiles)) == raw(dict(frame.profiles))
    assert (read.layers_hash, read.events) == (frame.layers_hash, frame.events)


@given(frames())
def test_packing_what_was_unpacked_gives_the_same_bytes(frame: Frame) -> None:
    body = packing.pack(frame)
    assert packing.pack(packing.unpack(body)) == body


@given(frames())
def test_arrays_of_a_frame_cannot_be_written(frame: Frame) -> None:
    read = packing.unpack(packing.pack(frame))
    blocks = [read.steps, read.time, *read.scalars.values(), *read.layers.values()]
    assert not any(block.flags.writeable for block in [*blocks, *read.profiles.values()])


@given(st.binary(max_size=200))
def test_no_body_does_worse_than_a_clear_error(body: bytes) -> None:
    with contextlib.suppress(Unreadable, Invalid, TooLarge):
        packing.unpack(body)


def steps(*values: int) -> bytes:
    return np.array(values, "<i8").tobytes()


def test_without_times_every_time_is_missing() -> None:
    frame = packing.unpack(msgpack.packb({"steps": steps(1, 2)}))
    assert is_missing(frame.time).tolist() == [True, True]
    assert not frame.time.flags.writeable


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        msgpack.packb([1]),
        msgpack.packb({"steps": steps(1)})[:-1],
        msgpack.packb({"steps": steps(1)}) + b"\x00",
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 5000,
        b"\x81\xa1\xff\x00",
        msgpack.packb({1: 2}),
    ],
)
def test_what_is_no_msgpack_map_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        packing.unpack(body)


F8, F4 = b"\x00" * 8, b"\x00" * 4


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        ({}, "/steps", "empty"),
        ({"steps": steps()}, "/steps", "empty"),
        ({"steps": [1, 2]}, "/steps", "not-an-array"),
        ({"steps": b"\x00" * 9}, "/steps", "not-an-array"),
        ({"steps": steps(-1)}, "/steps", "out-of-range"),
        ({"steps": steps(2**53)}, "/steps", "out-of-range"),
        ({"steps": steps(1), "nonsense": 1}, "", "unknown-key"),
        ({"steps": steps(1), "time": F8 * 2}, "/time", "wrong-length"),
        ({"steps": steps(1), "scalars": []}, "/scalars", "not-a-map"),
        ({"steps": steps(1), "scalars": {"a/b": F8 * 2}}, "/scalars/a~1b", "wrong-length"),
        ({"steps": steps(1), "scalars": {"loss": 1.0}}, "/scalars/loss", "not-an-array"),
        ({"steps": steps(1), "scalars": {"a\n": F8}}, "/scalars", "bad-name"),
        ({"steps": steps(1), "scalars": {"": F8}}, "/scalars", "bad-name"),
        ({"steps": steps(1), "scalars": {"é" * 257: F8}}, "/scalars", "bad-name"),
        ({"steps": steps(1), "layers": {"g": F4}}, "/layers_hash", "missing"),
        ({"steps": steps(1), "layers_hash": "abc"}, "/layers_hash", "bad-hash"),
        ({"steps": steps(1), "layers_hash": 5}, "/layers_hash", "bad-hash"),
        (
            {"steps": steps(1, 2), "layers_hash": HASH, "layers": {"g": F4 * 3}},
            "/layers/g",
            "wrong-length",
        ),
        (
            {"steps": steps(1), "layers_hash": HASH, "layers": {"g": b""}},
            "/layers/g",
            "wrong-length",
        ),
        (
            {"steps": steps(1), "layers_hash": HASH, "layers": {"g": F4, "h": F4 * 2}},
            "/layers",
            "ragged",
        ),
        ({"steps": steps(1), "events": {}}, "/events", "not-a-list"),
        ({"steps": steps(1), "events": [{"kind": "note"}, 5]}, "/events/1", "not-a-map"),
        ({"steps": steps(1), "events": [{}]}, "/events/0/kind", "bad-name"),
        (
            {"steps": steps(1), "events": [{"kind": "x", "step": -1}]},
            "/events/0/step",
            "out-of-range",
        ),
        (
            {"steps": steps(1), "events": [{"kind": "x", "step": True}]},
            "/events/0/step",
            "out-of-range",
        ),
        ({"steps": steps(1), "events": [{"kind": "x", "y": b"z"}]}, "/events/0", "not-json"),
        ({"steps": steps(1), "events": [{"kind": "x", b"y": 1}]}, "/events/0", "not-json"),
    ],
)
def test_a_broken_field_is_named_by_its_pointer(
    fields: dict[str, object], pointer: str, code: str
) -> None:
    with pytest.raises(Invalid) as caught:
        packing.unpack(msgpack.packb(fields))
    assert [(error.pointer, error.code) for error in caught.value.errors] == [(pointer, code)]


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        ({"steps": steps(*range(1001))}, "/steps", "too-many"),
        ({"steps": steps(1), "profiles": {"time": F4 * 65_537}}, "/profiles/time", "too-wide"),
        (
            {"steps": steps(1), "layers_hash": HASH, "layers": {"g": F4 * 100_001}},
            "/layers/g",
            "too-wide",
        ),
        ({"steps": steps(1), "events": [{"kind": "note"}] * 1001}, "/events", "too-many"),
    ],
)
def test_a_field_over_its_limit_is_too_large(
    fields: dict[str, object], pointer: str, code: str
) -> None:
    with pytest.raises(TooLarge) as caught:
        packing.unpack(msgpack.packb(fields))
    assert [(error.pointer, error.code) for error in caught.value.errors] == [(pointer, code)]


def test_events_may_be_nested_but_not_without_end() -> None:
    def event(levels: int) -> dict[str, object]:
        nested: object = 1
        for _ in range(levels):
            nested = [nested]
        return {"kind": "note", "value": nested}

    packing.unpack(msgpack.packb({"events": [event(20)]}))
    with pytest.raises(Invalid, match="at most 32 levels"):
        packing.unpack(msgpack.packb({"events": [event(40)]}))


def test_only_what_is_asked_for_is_read_of_a_stored_frame() -> None:
    frame = Frame(
        steps=np.array([3, 4]),
        time=np.zeros(2),
        scalars={"loss": np.array([1.0, np.nan])},
        layers_hash=HASH,
        layers={"grad_norm": np.array([[1, 2], [3, 4]], np.float32)},
    )
    body = packing.pack(frame)
    read = [
        packing.read_series(body, metric, column)
        for metric, column in (("loss", None), ("grad_norm", 1), ("grad_norm", None), ("loss", 0))
    ]
    assert [found[0].tolist() for found in read] == [[3, 4], [3, 4], [], []]
    assert read[0][1][0] == 1.0
    assert np.isnan(read[0][1][1])
    assert read[1][1].tolist() == [2.0, 4.0]
