"""A frame sent as JSON, rewritten in the packed form in which frames are checked and stored."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias, cast

import msgpack
import numpy as np

from gradwatch_service.api import values
from gradwatch_service.domain import MISSING32, MISSING64, JsonValue
from gradwatch_service.errors import Invalid, ItemError
from gradwatch_service.store.wording import check_name, invalid, pointer_to

FLOAT32_MAX = float(np.finfo(np.float32).max)
MAX_ERRORS = 20

Errors: TypeAlias = list[ItemError]
Reader: TypeAlias = Callable[[object, str], float]


def saturate(value: float) -> float:
    """A statistic as 32 bits can hold it: too large a finite one stays finite."""
    return math.copysign(FLOAT32_MAX, value) if FLOAT32_MAX < abs(value) < math.inf else value


def pack_json(value: JsonValue) -> bytes:
    """Rewrite a JSON frame as msgpack; lists of numbers become raw little-endian bytes.

    What has the right form but breaks the contract otherwise (lengths, names, the hash, events)
    is left for ``packing.unpack`` to find.

    Raises:
        Invalid: something is no list where one belongs, or no number; ``errors`` says where.
    """
    if not isinstance(value, Mapping):
        raise invalid("", "not-an-object", "a frame is an object with steps, scalars, layers, …")
    errors: Errors = []
    count = len(_list(value.get("steps", []), "/steps"))
    packed = {
        values.text(key, ""): _packed(key, member, count, errors) for key, member in value.items()
    }
    if errors:
        raise Invalid("a value of the frame breaks the contract", errors=tuple(errors))
    return cast(bytes, msgpack.packb(packed))


def _packed(key: str, member: JsonValue, count: int, errors: Errors) -> object:
    if key == "steps":
        return _steps(member, errors)
    if key == "time":
        return _column(member, values.moment, "/time", errors)
    if key == "scalars":
        return {
            name: _column(cells, values.number, pointer_to(key, name), errors)
            for name, cells in _names(member, key).items()
        }
    if key in {"layers", "profiles"}:
        return {
            name: _table(rows, count, pointer_to(key, name), errors)
            for name, rows in _names(member, key).items()
        }
    return values.free(member, pointer_to(key))


def _names(member: JsonValue, key: str) -> Mapping[str, JsonValue]:
    if not isinstance(member, Mapping):
        raise invalid(f"/{key}", "not-an-object", "must be an object of names")
    for name in member:
        check_name(name, f"/{key}")
    return member


def _steps(member: JsonValue, errors: Errors) -> bytes:
    cells = enumerate(_list(member, "/steps"))
    found = [_cell(cell, values.step, f"/steps/{index}", errors) for index, cell in cells]
    return np.array(found, "<i8").tobytes()


def _column(member: JsonValue, read: Reader, pointer: str, errors: Errors) -> bytes:
    cells = _list(member, pointer)
    column = np.full(len(cells), MISSING64, "<f8")
    for index, cell in enumerate(cells):
        if cell is not None:
            column[index] = _cell(cell, read, f"{pointer}/{index}", errors)
    return column.tobytes()


def _table(member: JsonValue, count: int, pointer: str, errors: Errors) -> bytes:
    rows = [_list(row, pointer) for row in _list(member, pointer)]
    if len(rows) != count:
        raise invalid(pointer, "wrong-length", "must have one list per step")
    if len({len(row) for row in rows}) > 1:
        raise invalid(pointer, "ragged", "must have equally many values for each step")
    table = np.full((count, len(rows[0]) if rows else 0), MISSING32, "<f4")
    for index, row in enumerate(rows):
        for column, cell in enumerate(row):
            if cell is not None:
                value = _cell(cell, values.number, f"{pointer}/{index}", errors)
                table[index, column] = saturate(value)
    return table.tobytes()


def _cell(cell: object, read: Reader, pointer: str, errors: Errors) -> float:
    """Read one cell; a broken one is noted, so that one answer can name many."""
    try:
        return read(cell, pointer)
    except Invalid as error:
        if len(errors) < MAX_ERRORS:
            errors.extend(error.errors)
        return 0


def _list(value: JsonValue, pointer: str) -> list[JsonValue]:
    if not isinstance(value, list):
        raise invalid(pointer, "not-a-list", "must be a list")
    return value
