"""The state of a detector as bytes, so that nobody need fold a run again from its first report.

A body is good for the code that wrote it only: it begins with a fingerprint of the sources that
give the state its meaning. Where anything is amiss, ``unpack`` says None, and the log is replayed.
"""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import msgpack
import numpy as np
import zstandard

from gradwatch_service import detect, diagnose, domain
from gradwatch_service.diagnose.fold import WriterState
from gradwatch_service.domain import Layer, LayerTable

Node: TypeAlias = Any  # what msgpack can write; all but plain values as (tag, …)

TUPLE, LIST, MAPPING, SET, NUMBER, ARRAY, SCALAR, LAYERS, AGAIN, FIRST_KIND = range(10)
PLAIN = frozenset({type(None), bool, float, str, bytes})
NUMERIC = "biufc"
_described = attrgetter(*(field.name for field in fields(Layer)))
_LEVEL = 1
_DIGEST, _CHECK = 32, 4
_TEXT = "surrogatepass"  # the config of a run is whatever JSON can say


def pack(state: WriterState) -> bytes | None:
    """The state as it may be kept; None: something in it cannot be, as a bottomless config."""
    writer = _Writer()
    try:
        root = writer.node(state)
        names = [_name(kind) for kind in writer.kinds]
        plain = msgpack.packb((names, root), unicode_errors=_TEXT)
    except (TypeError, ValueError, RecursionError):
        return None
    body = zstandard.compress(plain, _LEVEL)
    return fingerprint() + zlib.crc32(body).to_bytes(_CHECK, "little") + body


def unpack(body: bytes, layers: LayerTable | None = None) -> WriterState | None:
    """The very state that was packed; None: by other code than this, or damaged.

    ``layers``: a table at hand, so that the state need not have one of its own that is the same.
    """
    head = _DIGEST + _CHECK
    digest, check, rest = body[:_DIGEST], body[_DIGEST:head], body[head:]
    if digest != fingerprint() or check != zlib.crc32(rest).to_bytes(_CHECK, "little"):
        return None
    try:
        plain = zstandard.decompress(rest)
        names, root = msgpack.unpackb(plain, unicode_errors=_TEXT, use_list=False)
        found = _Reader([_kinds()[name] for name in names], layers).value(root)
    except (ValueError, TypeError, LookupError, RecursionError, zstandard.ZstdError):
        return None
    return found if isinstance(found, WriterState) else None


@cache
def fingerprint() -> bytes:
    """SHA-256 over all sources that say what a state means, and over this one.

    It is to be asked for first when a process begins: sources on the disk may become newer.
    """
    files = {Path(__file__)}
    for module in _modules():
        if module.__file__ is not None:
            files.add(Path(module.__file__))
    digest = hashlib.sha256()
    for file in sorted(files):
        source = file.read_bytes()
        digest.update(f"{file.parent.name}/{file.name} {len(source)}\n".encode() + source)
    return digest.digest()


def _modules() -> Iterator[ModuleType]:
    """Every module whose values a state may hold."""
    yield domain
    for package in (detect, diagnose):
        yield package
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            yield importlib.import_module(found.name)


@cache
def _kinds() -> Mapping[str, type[Any]]:
    """Every dataclass and enumeration of those modules, by name: a body can make no other."""
    return {
        _name(value): value
        for module in _modules()
        for value in vars(module).values()
        if isinstance(value, type)
        and value.__module__ == module.__name__
        and (is_dataclass(value) or issubclass(value, Enum))
    }


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


@cache
def _parts() -> Mapping[type[Any], Sequence[str]]:
    """What each of those classes is called with, as names of attributes."""
    return {
        kind: ["value"] if issubclass(kind, Enum) else [field.name for field in fields(kind)]
        for kind in _kinds().values()
    }


class _Writer:
    """Turns values into nodes; an object or array that was met before is only referred to."""

    def __init__(self) -> None:
        self.kinds: dict[type, int] = {}
        self._met: dict[int, int] = {}
        self._ways: Mapping[type, Callable[[Any], Node]] = {
            int: _number,
            tuple: lambda value: (TUPLE, *map(self.node, value)),
            list: lambda value: (LIST, *map(self.node, value)),
            frozenset: lambda value: (SET, *map(self.node, value)),
            dict: lambda value: (MAPPING, *map(self.node, value), *map(self.node, value.values())),
            np.ndarray: lambda value: self._once(value, _array),
            LayerTable: lambda value: self._once(value, _layers),
        }

    def node(self, value: object) -> Node:
        """The node of a value."""
        kind = type(value)
        if kind in PLAIN:
            return value
        way = self._ways.get(kind)
        if way is not None:
            return way(value)
        if isinstance(value, np.generic):
            return (SCALAR, *_array(np.asarray(value))[1:])
        return self._once(value, self._object)

    def _once(self, value: Any, make: Callable[[Any], Node]) -> Node:
        place = self._met.get(id(value))
        if place is not None:
            return (AGAIN, place)
        made = make(value)
        self._met[id(value)] = len(self._met)
        return made

    def _object(self, value: object) -> Node:
        kind = type(value)
        names = _parts().get(kind)
        if names is None:
            raise TypeError(f"a state cannot hold a {_name(kind)}")
        number = self.kinds.setdefault(kind, len(self.kinds))
        return (FIRST_KIND + number, *[self.node(getattr(value, name)) for name in names])


def _number(value: int) -> Node:
    return value if -(1 << 63) <= value < 1 << 64 else (NUMBER, str(value))


def _array(value: np.ndarray[Any, Any]) -> Node:
    """With its layout, since sums may depend on it."""
    if value.dtype.kind not in NUMERIC:
        raise TypeError(f"a state cannot hold an array of {value.dtype}")
    return (ARRAY, value.dtype.str, value.shape, value.flags.fnc, value.tobytes("A"))


def _layers(table: LayerTable) -> Node:
    """The bulk of the objects in a state, hence in a shorter form: all that is in them is plain."""
    return (LAYERS, table.hash, [_described(layer) for layer in table.layers])


class _Reader:
    """Turns nodes back into values, in the order in which they were written."""

    def __init__(self, kinds: Sequence[type], layers: LayerTable | None) -> None:
        self._kinds = kinds
        self._layers = layers
        self._met: list[object] = []
        self._ways: Mapping[int, Callable[[Any], object]] = {
            TUPLE: lambda rest: tuple(map(self.value, rest)),
            LIST: lambda rest: list(map(self.value, rest)),
            SET: lambda rest: frozenset(map(self.value, rest)),
            MAPPING: self._mapping,
            NUMBER: lambda rest: int(rest[0]),
            ARRAY: lambda rest: self._keep(_restored(*rest)),
            SCALAR: lambda rest: _restored(*rest)[()],
            LAYERS: lambda rest: self._keep(self._table(*rest)),
            AGAIN: lambda rest: self._met[rest[0]],
        }

    def value(self, node: Node) -> object:
        """The value of a node."""
        if type(node) is not tuple:
            return node
        tag, rest = node[0], node[1:]
        if tag >= FIRST_KIND:
            return self._keep(self._kinds[tag - FIRST_KIND](*map(self.value, rest)))
        return self._ways[tag](rest)

    def _keep(self, value: object) -> object:
        self._met.append(value)
        return value

    def _table(self, its_hash: str, rows: Sequence[Sequence[Any]]) -> LayerTable:
        if self._layers is not None and self._layers.hash == its_hash:
            return self._layers
        return LayerTable(tuple(Layer(*row) for row in rows))

    def _mapping(self, rest: Sequence[Node]) -> dict[object, object]:
        found = list(map(self.value, rest))
        half = len(found) // 2
        return dict(zip(found[:half], found[half:], strict=True))


def _restored(
    dtype: str, shape: tuple[int, ...], by_columns: bool, body: bytes
) -> np.ndarray[Any, Any]:
    """An array of its own, as the one that was packed."""
    return np.ndarray(shape, dtype, body, order="F" if by_columns else "C").copy("K")
