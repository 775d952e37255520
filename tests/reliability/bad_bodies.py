"""Bodies that are wrong in every way we know, each made from a right one by a seeded chance."""

from __future__ import annotations

import copy
import gzip
import json
import random
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgpack
import zstandard

JSON, MSGPACK = "application/json", "application/msgpack"
STRANGE: tuple[Any, ...] = (
    None, True, -1, 1.5, 2**64, 10**40, "", "x", "\0", "\ud800", "NaN", "é" * 600, [], [[]], {},
    {"": None}, [None] * 5_000, {"a": {"b": {"c": []}}}, "2026-02-30T00:00:00Z", "../../etc/passwd",
)  # fmt: skip
TOKENS = (
    "NaN",
    "-Infinity",
    "1e999",
    "-1e999",
    "1" * 5_000,
    "0x10",
    "01",
    "'x'",
    "nul",
    "[" * 5_000,
)
KEYS = ("", "\0", "a/b~c", "loss", "steps", "__proto__", "k" * 513, "k" * 70_000, "\u202e")
STEPS = struct.pack("<2q", 0, 1)
FRAME: Mapping[str, Any] = {
    "steps": STEPS,
    "time": struct.pack("<2d", 1.0, 2.0),
    "scalars": {"loss": struct.pack("<2d", 1.0, 0.5)},
    "layers_hash": "0" * 64,
    "layers": {"grad_norm": struct.pack("<4f", 1, 2, 3, 4)},
    "profiles": {"time": struct.pack("<4f", 1, 2, 3, 4)},
    "events": [{"kind": "note", "step": 1, "text": "x"}],
}
WIRE: tuple[Any, ...] = (
    None, True, -1, 2**63, 1.5, "x", b"", b"123", b"\xff" * 16, [], {}, {b"k": 1}, {1: 2},
    msgpack.ExtType(5, b"x"), msgpack.Timestamp(0), [[[]]], "\0", bytes(9 * 8_000), {"a": b"1"},
)  # fmt: skip


@dataclass(frozen=True)
class Body:
    """What is sent, and what it claims to be."""

    content: bytes
    media: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


def places(tree: Any) -> list[tuple[Any, Any]]:
    """Every container of a tree with each of its keys."""
    if not isinstance(tree, dict | list):
        return []
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
    return [(tree, key) for key in keys] + [at for key in keys for at in places(tree[key])]


def _with(chance: random.Random, tree: Any, value: Any) -> Any:
    changed = copy.deepcopy(tree)
    found = places(changed)
    if not found:
        return value
    container, key = chance.choice(found)
    container[key] = value
    return changed


def truncated(chance: random.Random, right: Any) -> Body:
    text = json.dumps(right).encode()
    return Body(text[: chance.randrange(len(text))])


def of_another_type(chance: random.Random, right: Any) -> Body:
    return Body(json.dumps(_with(chance, right, chance.choice(STRANGE))).encode())


def no_number(chance: random.Random, right: Any) -> Body:
    text = json.dumps(_with(chance, right, "@@"))
    return Body(text.replace('"@@"', chance.choice(TOKENS)).encode())


def nested(chance: random.Random, right: Any) -> Body:
    depth = chance.choice([40, 900, 100_000])
    opened, closed = chance.choice([("[", "]"), ('{"a":', "}")])
    deep = opened * depth + "1" + closed * depth
    return Body(json.dumps(_with(chance, right, "@@")).replace('"@@"', deep).encode())


def strange_key(chance: random.Random, right: Any) -> Body:
    changed = copy.deepcopy(right)
    maps = [changed, *(tree[key] for tree, key in places(changed) if isinstance(tree[key], dict))]
    target = chance.choice(maps)
    target[chance.choice(KEYS)] = chance.choice(STRANGE)
    return Body(json.dumps(changed).encode())


def key_twice(chance: random.Random, right: Any) -> Body:
    text = json.dumps(right)
    return Body(f"{text[:-1]}, {json.dumps(next(iter(right)))}: {chance.randrange(9)}}}".encode())


def missing_key(chance: random.Random, right: Any) -> Body:
    changed = copy.deepcopy(right)
    maps = [tree for tree, _ in places(changed) if isinstance(tree, dict)]
    target = chance.choice(maps)
    del target[chance.choice(list(target))]
    return Body(json.dumps(changed).encode())


def of_another_charset(chance: random.Random, right: Any) -> Body:
    text = json.dumps(right | {"näme": "ü"}, ensure_ascii=False)
    return Body(text.encode(chance.choice(["utf-16", "utf-32", "latin-1", "utf-8-sig"])))


def of_another_coding(chance: random.Random, right: Any) -> Body:
    text = json.dumps(right).encode()
    coding, content = chance.choice(
        [
            ("gzip", text),
            ("zstd", text),
            ("gzip", gzip.compress(text)[:-9]),
            ("zstd", zstandard.compress(text)[:-3]),
            ("gzip", gzip.compress(gzip.compress(text))),
            ("gzip", gzip.compress(bytes(1 << 22))),
            ("zstd", zstandard.compress(bytes(1 << 22))),
            ("br", text),
            ("gzip, gzip", gzip.compress(text)),
            ("\xff", text),
        ]
    )
    return Body(content, headers={"content-encoding": coding})


def of_another_media(chance: random.Random, right: Any) -> Body:
    media = chance.choice(
        ["", "text/plain", "application/xml", MSGPACK, "multipart/form-data", "/"]
    )
    return Body(json.dumps(right).encode(), media)


def noise(chance: random.Random, right: Any) -> Body:
    del right
    return Body(
        chance.randbytes(chance.choice([0, 1, 7, 300, 5_000])), chance.choice([JSON, MSGPACK])
    )


def wire_of_another_type(chance: random.Random, right: Any) -> Body:
    del right
    return Body(msgpack.packb(_with(chance, dict(FRAME), chance.choice(WIRE))), MSGPACK)


def torn_wire(chance: random.Random, right: Any) -> Body:
    del right
    packed = bytearray(msgpack.packb(FRAME))
    for _ in range(chance.randrange(3)):
        packed[chance.randrange(len(packed))] = chance.randrange(256)
    return Body(bytes(packed[: chance.randrange(1, len(packed))]), MSGPACK)


def endless_wire(chance: random.Random, right: Any) -> Body:
    """Claims of more than there is, and nests without end."""
    del right
    claims = [
        b"\x91" * 100_000,
        b"\x81\xa1k" * 50_000,
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
    ]
    return Body(
        chance.choice([*claims, b"\xdf\xff\xff\xff\xff", b"\xc9\xff\xff\xff\xff\x01"]), MSGPACK
    )


KINDS: tuple[Callable[[random.Random, Any], Body], ...] = (
    truncated, of_another_type, no_number, nested, strange_key, key_twice, missing_key,
    of_another_charset, of_another_coding, of_another_media, noise,
    wire_of_another_type, torn_wire, endless_wire,
)  # fmt: skip
