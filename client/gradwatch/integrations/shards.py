"""Parameters of which each rank has a part (FSDP2, DTensor): norms are those of the whole.

Each rank measures its part. The squares are added up on the host, in a group of ranks of our own,
when the numbers of a step are read: no collective of the job is touched, nothing waits on a GPU.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import distributed

from gradwatch.integrations.ranks import group_of_all, leave_group
from gradwatch.values import Float32Array, missing32, narrow

NORMS = ("grad_norm", "weight_norm", "update_norm")
LARGEST = "grad_max"  # what else there is remains that of this rank


class Unshared:
    """Every parameter is here as a whole."""

    is_shared = False

    def local(self, tensors: Sequence[Any]) -> list[Any]:
        """What this rank has of parameters or their gradients."""
        return list(tensors)

    def bytes(self, parameters: Sequence[torch.Tensor]) -> int:
        """How many bytes a rank has of them; the same on every rank."""
        return sum(one.numel() * one.element_size() for one in parameters)

    def joined(self, arrays: dict[str, Float32Array]) -> dict[str, Float32Array]:
        """The statistics of the whole from those of this rank's part."""
        return arrays

    def largest(self, parts: Sequence[float]) -> float:
        """The largest element, from that of each gradient."""
        return max(parts, default=0.0)

    def norm(self, parts: Sequence[float]) -> float:
        """The global norm, from that of each gradient."""
        return math.hypot(*parts)

    def leave(self) -> None:
        """Nothing to leave."""


WHOLE = Unshared()


class Shared:
    """``copies``: how many ranks have the same part of a parameter.

    What joins is a collective operation of all ranks and raises ``RuntimeError`` if one does not
    take part within 30 seconds.
    """

    is_shared = True

    def __init__(self, copies: Sequence[int]) -> None:
        self._weights = 1.0 / np.array(copies, np.float64)
        self._group: Any = None

    def local(self, tensors: Sequence[Any]) -> list[Any]:
        """What this rank has of parameters or their gradients."""
        return [tensor.to_local() if is_sharded(tensor) else tensor for tensor in tensors]

    def bytes(self, parameters: Sequence[torch.Tensor]) -> int:
        """How many bytes a rank has of them, about; the same on every rank."""
        return WHOLE.bytes(parameters) // distributed.get_world_size()

    def joined(self, arrays: dict[str, Float32Array]) -> dict[str, Float32Array]:
        """The statistics of the whole from those of this rank's part."""
        names = [name for name in NORMS if name in arrays]
        squares = [self._weights * np.square(_measured(arrays[name])) for name in names]
        sums = self._reduced(np.concatenate(squares), "SUM").reshape(len(names), -1)
        whole = dict(zip(names, np.sqrt(sums), strict=True))
        if LARGEST in arrays:
            whole[LARGEST] = self._reduced(_measured(arrays[LARGEST]), "MAX")
        return arrays | {name: _where_measured(arrays[name], whole[name]) for name in whole}

    def largest(self, parts: Sequence[float]) -> float:
        """The largest element, from that of each gradient."""
        return float(self._reduced(np.array([max(parts, default=0.0)]), "MAX")[0])

    def norm(self, parts: Sequence[float]) -> float:
        """The global norm, from that of each gradient."""
        square = np.sum(self._weights * np.square(parts))
        return float(np.sqrt(self._reduced(np.array([square]), "SUM")[0]))

    def leave(self) -> None:
        """Close the connections, so that the others notice at once."""
        if self._group is not None:
            leave_group(self._group)

    def _reduced(self, values: Any, way: str) -> Any:
        if not distributed.is_initialized():
            raise RuntimeError("torch.distributed was shut down")
        if self._group is None:
            self._group = group_of_all()
        tensor = torch.from_numpy(values.copy())
        distributed.all_reduce(tensor, getattr(distributed.ReduceOp, way), group=self._group)
        return tensor.numpy()


Whole: TypeAlias = Unshared | Shared


def whole_of(parameters: Sequence[torch.Tensor]) -> Whole:
    """How these parameters are spread over ranks."""
    if not any(map(is_sharded, parameters)):
        return WHOLE
    world = distributed.get_world_size()
    return Shared([world // (_parts(one) if is_sharded(one) else 1) for one in parameters])


def is_sharded(tensor: object) -> bool:
    """Whether it is a DTensor that is spread over all ranks of the job."""
    module = sys.modules.get("torch.distributed.tensor")  # importing it would take long
    if module is None or not isinstance(tensor, module.DTensor):
        return False
    everywhere = tensor.device_mesh.size() == distributed.get_world_size()
    return everywhere and not any(placement.is_partial() for placement in tensor.placements)


def _parts(parameter: Any) -> int:
    """Into how many different parts it is cut."""
    sizes = zip(parameter.device_mesh.shape, parameter.placements, strict=True)
    return math.prod(size for size, placement in sizes if placement.is_shard())


def _measured(values: Float32Array) -> Any:
    """In 64 bits, with 0 where nothing was measured."""
    gaps = values.view(np.uint32) == missing32(1).view(np.uint32)
    return np.where(gaps, 0.0, values.astype(np.float64))


def _where_measured(part: Float32Array, whole: Any) -> Float32Array:
    gaps = part.view(np.uint32) == missing32(1).view(np.uint32)
    joined = narrow(whole)
    joined[gaps] = missing32(1)
    return joined
