"""Describes the tensors of a PyTorch module tree by class names, without importing torch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gradwatch.layers import Layer

MATRIX_KINDS = ("linear", "conv", "recurrent", "attention")
COMPILED = "_orig_mod"  # what torch.compile calls the module inside
ACTIVATIONS = "torch.nn.modules.activation"
_KINDS = (
    ("attention", re.compile("Attention")),
    ("norm", re.compile(r"Norm(\dd)?$")),
    ("embedding", re.compile("Embedding")),
    ("recurrent", re.compile("^(RNN|LSTM|GRU)")),
    ("conv", re.compile("^(Lazy)?Conv")),
    ("linear", re.compile("[Ll]inear")),
)
_STACKED = re.compile(r"_l(\d+)")  # weight_ih_l0, weight_hh_l1_reverse, … of nn.RNN


@dataclass(frozen=True, slots=True)
class Watched:
    """A trainable parameter and what is known about it."""

    layer: Layer
    parameter: Any


def describe(model: Any) -> list[Watched]:
    """Every trainable parameter of a module once, in the order of the modules."""
    model = getattr(model, COMPILED, model)
    watched: list[Watched] = []
    seen: set[int] = set()
    depth = 0
    for path, module in model.named_modules():
        own = [item for item in _own_parameters(module) if id(item[1]) not in seen]
        if not own:
            continue
        seen.update(id(parameter) for _, parameter in own)
        surroundings = _surroundings(model, path, module)
        for name, parameter in own:
            layer = _layer(path, name, parameter, module, surroundings)
            watched.append(Watched(replace(layer, depth=depth + _stack(name)), parameter))
        depth = watched[-1].layer.depth + 1
    return _with_head(watched)


def _own_parameters(module: Any) -> list[tuple[str, Any]]:
    own = module.named_parameters(recurse=False)
    return [(name, parameter) for name, parameter in own if parameter.requires_grad]


def _stack(name: str) -> int:
    found = _STACKED.search(name)
    return int(found.group(1)) if found else 0


def _layer(path: str, name: str, parameter: Any, module: Any, surroundings: _Surroundings) -> Layer:
    kind = surroundings.kind
    if kind != "norm" and (parameter.ndim < 2 or "bias" in name):
        kind = "bias" if "bias" in name else ""
    is_matrix = kind in MATRIX_KINDS
    return Layer(
        name=f"{path}.{name}".replace(f"{COMPILED}.", "") if path else name,
        kind=kind,
        shape=tuple(parameter.shape),
        dtype=str(parameter.dtype).removeprefix("torch."),
        activation=(_own_activation(module) or surroundings.activation) if is_matrix else "",
        normalised=surroundings.normalised if is_matrix else None,
    )


def _own_activation(module: Any) -> str:
    if kind_of(module) != "recurrent":
        return ""
    return str(getattr(module, "nonlinearity", "tanh"))


@dataclass(frozen=True, slots=True)
class _Surroundings:
    kind: str
    activation: str = ""
    normalised: bool | None = None


def _surroundings(model: Any, path: str, module: Any) -> _Surroundings:
    kind = kind_of(module)
    parent_path, _, child = path.rpartition(".")
    if not path:
        return _Surroundings(kind)
    parent = model.get_submodule(parent_path)
    if kind == "linear" and kind_of(parent) == "attention":
        kind = "attention"
    siblings = dict(parent.named_children())
    if "Sequential" not in _class_names(parent):
        in_block = any(kind_of(sibling) == "norm" for sibling in siblings.values())
        return _Surroundings(kind, normalised=True if in_block else None)
    position = list(siblings).index(child)
    before = list(_until_matrix(list(siblings.values())[:position][::-1]))
    after = list(_until_matrix(list(siblings.values())[position + 1 :]))
    return _Surroundings(
        kind,
        activation=next(filter(None, map(activation_of, after)), ""),
        normalised=any(kind_of(sibling) == "norm" for sibling in (*before, *after)),
    )


def _until_matrix(modules: Sequence[Any]) -> Iterator[Any]:
    for module in modules:
        if kind_of(module) in MATRIX_KINDS or any(True for _ in module.children()):
            return
        yield module


def kind_of(module: Any) -> str:
    """The kind of a module by its class or a class it derives from; "" if it is none we know."""
    for name in _class_names(module):
        for kind, pattern in _KINDS:
            if pattern.search(name):
                return kind
    return ""


def activation_of(module: Any) -> str:
    """The lower-case name of an activation module; "" for any other."""
    names = [cls.__name__ for cls in type(module).__mro__ if cls.__module__ == ACTIVATIONS]
    return names[0].lower() if names and kind_of(module) != "attention" else ""


def _class_names(module: Any) -> list[str]:
    return [cls.__name__ for cls in type(module).__mro__]


def _with_head(watched: list[Watched]) -> list[Watched]:
    """Call the last linear weight the head, if there are other weights than it."""
    matrices = [item for item in watched if item.layer.kind in MATRIX_KINDS]
    if len(matrices) < 2 or matrices[-1].layer.kind != "linear":
        return watched
    return [
        replace(item, layer=replace(item.layer, kind="head")) if item is matrices[-1] else item
        for item in watched
    ]
