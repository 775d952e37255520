"""Describes the trainable variables of a Keras model, without importing Keras."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from typing import Any

from gradwatch.integrations.module_tree import Watched, kind_of
from gradwatch.layers import Layer

PARTS_ONLY = "updates of a part of the trainable variables are not watched"

_KINDS = {"Dense": "linear", "EinsumDense": "linear", "SimpleRNN": "recurrent"}
_SMALL = {"bias": "bias", "gamma": "norm", "beta": "norm", "scale": "norm"}


def describe(model: Any) -> list[Watched]:
    """Every trainable variable, in the order in which the optimizer has them."""
    owners = {}
    for depth, layer in enumerate(_layers_with_variables(model)):
        owners.update({id(variable): (depth, layer) for variable in layer.trainable_variables})
    return [
        Watched(_describe(variable, *owners.get(id(variable), (-1, None))), variable)
        for variable in model.trainable_variables
    ]


def fits(variables: Sequence[Any], gradients: Sequence[Any], given: Sequence[Any] | None) -> bool:
    """Whether these are the gradients of all variables, in their order; ``given``: of which."""
    if len(gradients) != len(variables):
        return False
    return given is None or all(map(operator.is_, variables, given))


def _describe(variable: Any, depth: int, layer: Any) -> Layer:
    kind = _SMALL.get(variable.name) or _kind(layer)
    return Layer(
        name=variable.path,
        kind=kind,
        depth=depth,
        shape=tuple(variable.shape),
        dtype=str(variable.dtype),
        activation="" if variable.name in _SMALL else _activation(layer),
    )


def _kind(layer: Any) -> str:
    return _KINDS.get(type(layer).__name__) or kind_of(layer)


def _activation(layer: Any) -> str:
    name = getattr(getattr(layer, "activation", None), "__name__", "")
    return str(name)


def _layers_with_variables(model: Any) -> Iterator[Any]:
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from _layers_with_variables(layer)
        elif layer.trainable_variables:
            yield layer
