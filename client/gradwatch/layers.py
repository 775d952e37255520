"""The layer table: which tensors the columns of every per-layer array stand for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gradwatch.values import JsonValue, as_json, as_step, is_name

MAX_WORD = 64  # limits of the service
MAX_DEPTH = 1_000_000
MAX_DIMENSIONS = 16


@dataclass(frozen=True, slots=True)
class Layer:
    """One watched tensor; only the name is required.

    ``kind`` is a word such as linear, conv, recurrent, embedding, norm, bias, head; ``depth``
    counts from the input (0), -1 means unknown, as None does for ``normalised`` and ``residual``.
    """

    name: str
    kind: str = ""
    depth: int = -1
    shape: tuple[int, ...] = ()
    dtype: str = "float32"
    activation: str = ""
    normalised: bool | None = None
    residual: bool | None = None

    def as_json(self) -> dict[str, JsonValue]:
        """Every key, in one fixed form: what is hashed."""
        return {
            "name": self.name,
            "kind": self.kind,
            "depth": self.depth,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "activation": self.activation,
            "normalised": self.normalised,
            "residual": self.residual,
        }

    def described(self) -> dict[str, JsonValue]:
        """The same without what is as it is by default: tables can be long."""
        default = Layer(self.name).as_json()
        return {
            key: value
            for key, value in self.as_json().items()
            if key == "name" or value != default[key]
        }


class LayerTable:
    """The ordered layers of a run, a value; it only grows at its end, so a column stays a column.

    Not by ``functools.cached_property``: until Python 3.12 that takes a lock shared by all
    instances, and a fork may leave it locked for ever.
    """

    def __init__(self, layers: Iterable[Layer] = ()) -> None:
        self.layers = tuple(layers)
        self.names = tuple(layer.name for layer in self.layers)
        self.columns: Mapping[str, int] = {name: i for i, name in enumerate(self.names)}
        self._hash: str | None = None

    def __len__(self) -> int:
        return len(self.layers)

    @property
    def hash(self) -> str:
        """SHA-256 (hex) of the canonical JSON, as the service computes it; "" if empty."""
        if self._hash is None:
            self._hash = self._digest() if self.layers else ""
        return self._hash

    def _digest(self) -> str:
        body = json.dumps(self.as_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(body.encode()).hexdigest()

    def as_json(self) -> list[JsonValue]:
        """The table in the one form that is hashed."""
        return [layer.as_json() for layer in self.layers]

    def described(self) -> list[JsonValue]:
        """The table as it travels in ``POST /runs``."""
        return [layer.described() for layer in self.layers]

    def extended(self, layers: Iterable[Layer]) -> LayerTable:
        """This table with the layers it does not have yet added at its end."""
        new = {layer.name: layer for layer in layers if layer.name not in self.columns}
        return LayerTable((*self.layers, *new.values())) if new else self


def read_layers(described: object) -> tuple[list[Layer], int]:
    """Layers from what a user gave to ``init(layers=…)``, and how many could not be understood.

    Accepts a sequence whose items are names, mappings with the keys of ``Layer``, or ``Layer``.
    """
    items = list(described) if isinstance(described, list | tuple) else [described]
    layers = [layer for layer in map(_read_layer, items) if layer is not None]
    return layers, len(items) - len(layers)


def _read_layer(item: object) -> Layer | None:
    if isinstance(item, Layer):
        return item
    given = {"name": item} if isinstance(item, str) else as_json(item)
    if not isinstance(given, dict) or not is_name(name := given.get("name")):
        return None
    shape, depth = given.get("shape"), given.get("depth")
    return Layer(
        name=str(name),
        kind=_word(given.get("kind"), ""),
        depth=depth if isinstance(depth, int) and 0 <= depth <= MAX_DEPTH else -1,
        shape=_shape(shape),
        dtype=_word(given.get("dtype"), "float32"),
        activation=_word(given.get("activation"), ""),
        normalised=_flag(given.get("normalised")),
        residual=_flag(given.get("residual")),
    )


def _word(value: JsonValue, default: str) -> str:
    return value[:MAX_WORD] if isinstance(value, str) else default


def _flag(value: JsonValue) -> bool | None:
    return value if isinstance(value, bool) else None


def _shape(value: JsonValue) -> tuple[int, ...]:
    sizes = (
        [as_step(size) for size in value if isinstance(size, int)]
        if isinstance(value, list)
        else []
    )
    return tuple(size for size in sizes if size is not None)[:MAX_DIMENSIONS]
