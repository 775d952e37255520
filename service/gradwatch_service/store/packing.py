"""The one binary form of a frame: what travels as msgpack, and what lies in ``frames.body``.

A msgpack map; arrays are raw little-endian bytes, C order, so reading them copies nothing.
``unpack`` is strict: it is the gate for what clients send and the reader of the log alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

import msgpack
import numpy as np
from numpy.typing import NDArray

from gradwatch_service.domain import (
    MAX_STEP,
    MISSING64,
    Float32Array,
    FloatArray,
    Frame,
    IntArray,
    JsonValue,
)
from gradwatch_service.errors import Unreadable
from gradwatch_service.store.wording import check_event, check_name, invalid, pointer_to, too_large

MAX_STEPS = 1_000
MAX_LAYERS = 100_000
MAX_PROFILE = 65_536
MAX_NAMES = 4_096
MAX_EVENTS = 1_000

Fields: TypeAlias = Mapping[str, object]

_KEYS = frozenset({"steps", "time", "scalars", "layers_hash", "layers", "profiles", "events"})
_STEP = np.dtype("<i8")
_SCALAR = np.dtype("<f8")
_VALUE = np.dtype("<f4")
_HASH_LENGTH = 64


def pack(frame: Frame) -> bytes:
    """Write a frame; parts that are empty are left out."""
    fields: Fields = {
        "steps": _raw(frame.steps, _STEP),
        "time": _raw(frame.time, _SCALAR),
        "scalars": _raw_each(frame.scalars, _SCALAR),
        "layers_hash": frame.layers_hash,
        "layers": _raw_each(frame.layers, _VALUE),
        "profiles": _raw_each(frame.profiles, _VALUE),
        "events": [dict(event) for event in frame.events],
    }
    return cast(bytes, msgpack.packb({key: part for key, part in fields.items() if part}))


def unpack(body: bytes) -> Frame:
    """Read a frame; its arrays are read-only views.

    The number of layers follows from the length of the arrays; that it is the one of the layer
    table is for the caller to check.

    Raises:
        Unreadable: not msgpack, or not a map with text keys.
        Invalid: a field breaks the contract; ``errors`` says where.
        TooLarge: there are more steps, events or values a step than a frame may carry.
    """
    fields = read_fields(body)
    if not fields.keys() <= _KEYS:
        raise invalid("", "unknown-key", f"a frame has only the keys {', '.join(_KEYS)}")
    steps = read_steps(fields)
    count = len(steps)
    events = _events(fields.get("events", []))
    if not count and not events:
        raise invalid("/steps", "empty", "a frame holds at least one step or event")
    layers = _blocks(fields, "layers", count, MAX_LAYERS)
    if len({block.shape[1] for block in layers.values()}) > 1:
        raise invalid("/layers", "ragged", "all statistics must have the same number of layers")
    return Frame(
        steps=steps,
        time=_time(fields, count),
        scalars=_scalars(fields, count),
        layers_hash=_layers_hash(fields, needed=bool(layers)),
        layers=layers,
        profiles=_blocks(fields, "profiles", count, MAX_PROFILE),
        events=events,
    )


def read_fields(body: bytes) -> Fields:
    """The raw fields of a packed frame, not yet checked."""
    try:
        fields = msgpack.unpackb(body, max_array_len=MAX_NAMES, max_map_len=MAX_NAMES)
    except (ValueError, msgpack.UnpackException) as error:
        raise Unreadable("the body is not a msgpack map within the limits") from error
    if not isinstance(fields, dict):
        raise Unreadable("the body must be a msgpack map")
    return fields


def read_steps(fields: Fields) -> IntArray:
    """The steps of a packed frame, int64[n]."""
    steps = _array(fields.get("steps", b""), _STEP, "steps")
    if len(steps) > MAX_STEPS:
        raise too_large("/steps", "too-many", f"at most {MAX_STEPS} steps a frame: split it")
    if len(steps) and np.maximum.reduce(steps.view(np.uint64)) > MAX_STEP:  # or negative
        raise invalid("/steps", "out-of-range", "steps must be from 0 to 2^53 - 1")
    return cast(IntArray, steps)


def read_series(body: bytes, metric: str, column: int | None) -> tuple[IntArray, FloatArray]:
    """One scalar (``column`` None) or one layer's statistic of a stored frame, with its steps.

    Both are empty where the frame does not hold it.
    """
    fields = read_fields(body)
    group = cast(Fields, fields.get("scalars" if column is None else "layers", {}))
    if metric not in group:
        return np.empty(0, np.int64), np.empty(0, np.float64)
    steps = read_steps(fields)
    if column is None:
        return steps, np.frombuffer(cast(bytes, group[metric]), _SCALAR)
    block = np.frombuffer(cast(bytes, group[metric]), _VALUE).reshape(len(steps), -1)
    return steps, block[:, column].astype(np.float64)


def read_scalars(
    bodies: Sequence[bytes], metrics: Sequence[str]
) -> dict[str, tuple[IntArray, FloatArray]]:
    """Steps and values of some scalars in stored frames, one frame after the other."""
    steps: dict[str, list[bytes]] = {metric: [] for metric in metrics}
    values: dict[str, list[bytes]] = {metric: [] for metric in metrics}
    for body in bodies:
        fields = read_fields(body)
        group = cast(Fields, fields.get("scalars", {}))
        for metric in metrics:
            if metric in group:
                steps[metric].append(cast(bytes, fields["steps"]))
                values[metric].append(cast(bytes, group[metric]))
    return {
        metric: (
            np.frombuffer(b"".join(steps[metric]), _STEP),
            np.frombuffer(b"".join(values[metric]), _SCALAR),
        )
        for metric in metrics
    }


def read_block(body: bytes, part: str, name: str) -> tuple[IntArray, Float32Array] | None:
    """One of the ``layers`` or ``profiles`` of a stored frame, float32[n, W], with its steps."""
    fields = read_fields(body)
    group = cast(Fields, fields.get(part, {}))
    if name not in group:
        return None
    steps = read_steps(fields)
    if not len(steps):
        return None
    return steps, np.frombuffer(cast(bytes, group[name]), _VALUE).reshape(len(steps), -1)


def _raw(values: NDArray[Any], dtype: np.dtype[Any]) -> bytes:
    return np.ascontiguousarray(values, dtype).tobytes()


def _raw_each(blocks: Mapping[str, NDArray[Any]], dtype: np.dtype[Any]) -> dict[str, bytes]:
    return {name: _raw(block, dtype) for name, block in blocks.items()}


def _array(raw: object, dtype: np.dtype[Any], *keys: str) -> NDArray[Any]:
    if not isinstance(raw, bytes) or len(raw) % dtype.itemsize:
        detail = f"must be raw little-endian bytes, {dtype.itemsize} a value"
        raise invalid(pointer_to(*keys), "not-an-array", detail)
    return np.frombuffer(raw, dtype)


def _map(fields: Fields, key: str) -> Fields:
    group = fields.get(key, {})
    if not isinstance(group, dict):
        raise invalid(f"/{key}", "not-a-map", "must be a map")
    pointer = f"/{key}"
    for name in group:
        check_name(name, pointer)
    return group


def _time(fields: Fields, count: int) -> FloatArray:
    if "time" not in fields:
        missing = np.full(count, MISSING64)
        missing.flags.writeable = False
        return missing
    return _column(fields["time"], count, "time")


def _column(raw: object, count: int, *keys: str) -> FloatArray:
    values = _array(raw, _SCALAR, *keys)
    if len(values) != count:
        raise invalid(pointer_to(*keys), "wrong-length", "must have one value per step")
    return values


def _scalars(fields: Fields, count: int) -> dict[str, FloatArray]:
    return {
        name: _column(raw, count, "scalars", name) for name, raw in _map(fields, "scalars").items()
    }


def _blocks(fields: Fields, key: str, count: int, widest: int) -> dict[str, Float32Array]:
    return {name: _block(raw, count, widest, key, name) for name, raw in _map(fields, key).items()}


def _block(raw: object, count: int, widest: int, *keys: str) -> Float32Array:
    values = _array(raw, _VALUE, *keys)
    width, rest = divmod(len(values), count) if count else (0, len(values))
    if rest or (count and not width):
        detail = "must have the same number of values for each step"
        raise invalid(pointer_to(*keys), "wrong-length", detail)
    if width > widest:
        raise too_large(pointer_to(*keys), "too-wide", f"at most {widest} values a step")
    return values.reshape(count, width)


def _layers_hash(fields: Fields, *, needed: bool) -> str:
    text = fields.get("layers_hash", "")
    if not isinstance(text, str) or (text and len(text) != _HASH_LENGTH):
        raise invalid("/layers_hash", "bad-hash", "must be the SHA-256 of the layer table, in hex")
    if needed and not text:
        raise invalid("/layers_hash", "missing", "a frame with layers names their table")
    return text


def _events(raw: object) -> tuple[Mapping[str, JsonValue], ...]:
    if not isinstance(raw, list):
        raise invalid("/events", "not-a-list", "must be a list")
    if len(raw) > MAX_EVENTS:
        raise too_large("/events", "too-many", f"at most {MAX_EVENTS} events a frame: split it")
    return tuple(check_event(event, f"/events/{index}") for index, event in enumerate(raw))
