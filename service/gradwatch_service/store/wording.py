"""Names and events as every database can hold them: the words of a packed frame."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import cast

from gradwatch_service.domain import MAX_STEP, JsonValue
from gradwatch_service.errors import Invalid, ItemError, TooLarge

MAX_NAME_BYTES = 512
MAX_DEPTH = 32

_NO_TEXT = "names are text without control characters"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# What JSON Schema can say of a name; that its length is counted in bytes it cannot.
NAME_SCHEMA: dict[str, str | int] = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_NAME_BYTES,
    "pattern": r"^[^\u0000-\u001f\u007f-\u009f]+$",
}


def invalid(pointer: str, code: str, detail: str) -> Invalid:
    """The error for one broken field: ``pointer`` says where, ``detail`` never repeats a value."""
    return Invalid(detail, errors=(ItemError(pointer, code),))


def too_large(pointer: str, code: str, detail: str) -> TooLarge:
    """The error for a field over its limit."""
    return TooLarge(detail, errors=(ItemError(pointer, code),))


def pointer_to(*keys: str) -> str:
    """The RFC 6901 pointer to a field."""
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in keys)


def check_name(name: object, pointer: str) -> str:
    """A name: 1 to 512 bytes of UTF-8 without control characters.

    Raises:
        Invalid: it is none.
    """
    if not isinstance(name, str):
        raise invalid(pointer, "bad-name", _NO_TEXT)
    if len(name) <= MAX_NAME_BYTES and _is_name(name):
        return name
    detail = _NO_TEXT if _CONTROL.search(name) else f"names have 1 to {MAX_NAME_BYTES} bytes"
    raise invalid(pointer, "bad-name", detail)


@lru_cache(maxsize=4_096)
def _is_name(text: str) -> bool:
    """Whether this short text is a name; the same few are asked for again and again."""
    return not _CONTROL.search(text) and 1 <= len(text.encode()) <= MAX_NAME_BYTES


def check_event(event: object, pointer: str) -> Mapping[str, JsonValue]:
    """An event: a map of JSON values with a ``kind``, and perhaps a ``step``.

    Raises:
        Invalid: it is none.
    """
    if not isinstance(event, dict):
        raise invalid(pointer, "not-a-map", "an event is a map")
    check_name(event.get("kind"), f"{pointer}/kind")
    step = event.get("step")
    if step is not None and not (type(step) is int and 0 <= step <= MAX_STEP):
        raise invalid(f"{pointer}/step", "out-of-range", "a step is from 0 to 2^53 - 1")
    _check_json(event, pointer, MAX_DEPTH)
    return cast(Mapping[str, JsonValue], event)


def _check_json(value: object, pointer: str, depth: int) -> None:
    if value is None or isinstance(value, bool | int | float | str):
        return
    if not depth:
        raise invalid(pointer, "too-deep", f"at most {MAX_DEPTH} levels")
    for item in _members(value, pointer):
        _check_json(item, pointer, depth - 1)


def _members(value: object, pointer: str) -> Iterable[object]:
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        raise invalid(pointer, "not-json", "values are maps, lists, text, numbers, true or false")
    if not all(isinstance(key, str) for key in value):
        raise invalid(pointer, "not-json", "keys are text")
    return value.values()
