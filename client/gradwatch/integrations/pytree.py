"""Describes the arrays of a JAX pytree by their paths: names, kinds, and depth where it shows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import jax

from gradwatch.layers import Layer

_NUMBER = re.compile(r"(\d+)")
_KINDS = {"bias": "bias", "b": "bias", "scale": "norm", "embedding": "embedding"}
_MATRICES = {2: "linear", 3: "conv", 4: "conv", 5: "conv"}  # kernels of 1, 2 and 3 dimensions


def describe(tree: Any) -> list[Layer]:
    """The layers of a tree of arrays, in the order of its leaves."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    names = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves]
    depths = _depths([name.rpartition(".")[0] for name in names])
    return [
        Layer(
            name=name or "weight",
            kind=_kind(name, leaf),
            depth=depths.get(name.rpartition(".")[0], -1),
            shape=tuple(leaf.shape),
            dtype=str(leaf.dtype),
        )
        for name, (_, leaf) in zip(names, leaves, strict=True)
    ]


def _kind(name: str, leaf: Any) -> str:
    last = name.rpartition(".")[2]
    return _KINDS.get(last) or _MATRICES.get(len(leaf.shape), "")


def _depths(modules: Sequence[str]) -> dict[str, int]:
    """The order of modules that are numbered alike; pytrees sort names, so others say nothing."""
    if len({_NUMBER.sub("#", module) for module in modules}) != 1 or not _NUMBER.search(modules[0]):
        return {}
    ordered = sorted(set(modules), key=lambda module: [*map(int, _NUMBER.findall(module))])
    return {module: depth for depth, module in enumerate(ordered)}
