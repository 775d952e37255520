"""PyTorch kernels over lists of tensors: norms, scaling, and the one transfer of a step."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import torch

from gradwatch.integrations.shards import WHOLE, Whole
from gradwatch.values import Float32Array, missing32, narrow

Tensors = Sequence[torch.Tensor]


class Transfer:
    """Results of one step on their way to the host, which from a GPU does not wait for them.

    ``read`` waits until they have come: for what was queued before them, not for what came after.
    """

    def __init__(
        self, stacked: torch.Tensor, rows: Mapping[str, Sequence[int]], width: int
    ) -> None:
        self._rows = rows
        self._width = width
        self._arrival: Any = None
        self.waited = 0.0  # seconds
        if stacked.device.type != "cuda":
            self._host = stacked.cpu()
            return
        self._host = stacked.to("cpu", non_blocking=True)  # into pinned memory
        stream: Any = torch.cuda.current_stream(stacked.device)
        self._arrival = stream.record_event()

    def read(self) -> tuple[dict[str, Float32Array], list[float]]:
        """Statistic -> float32[L]; and the numbers that came after them."""
        if self._arrival is not None:
            begun = time.perf_counter()
            self._arrival.synchronize()
            self.waited += time.perf_counter() - begun
        host = self._host.numpy()
        single = host if host.dtype == np.float32 else narrow(host)
        arrays, done = {}, 0
        for name, rows in self._rows.items():
            arrays[name] = missing32(self._width)
            arrays[name][list(rows)] = single[done : done + len(rows)]
            done += len(rows)
        return arrays, host[done:].tolist()


@dataclass(frozen=True)
class Sent:
    """The statistics of one step and its scalars, some of them tensors that travel along."""

    transfer: Transfer
    stacked: torch.Tensor  # the same on the device, in the order in which it was added
    scalars: Mapping[str, Any]
    travelling: tuple[str, ...]
    profiles: Mapping[str, int] = field(default_factory=dict)  # axis -> length

    def read(self) -> tuple[dict[str, Float32Array], dict[str, Any]]:
        """Statistic -> float32[L]; and the scalars, with numbers in place of tensors."""
        arrays, numbers = self.transfer.read()
        return arrays, {**self.scalars, **dict(zip(self.travelling, numbers, strict=False))}

    @property
    def waited(self) -> float:
        """For how many seconds the host waited for the numbers."""
        return self.transfer.waited

    def read_profiles(self) -> dict[str, list[float]]:
        """Axis -> the values along it."""
        if not self.profiles:
            return {}
        _, numbers = self.transfer.read()
        rest = iter(numbers[len(self.travelling) :])
        return {axis: list(islice(rest, length)) for axis, length in self.profiles.items()}


class Parts:
    """Collects device results of one step, then brings them to the host in one transfer."""

    def __init__(self, width: int, device: torch.device) -> None:
        self._width = width
        self._device = device
        self._rows: dict[str, Sequence[int]] = {}
        self._results: list[torch.Tensor] = []
        self._profiles: dict[str, torch.Tensor] = {}

    def add(self, name: str, rows: Sequence[int], results: Tensors) -> None:
        """Add a statistic: one result for each of the rows (layers) in which it was measured."""
        self._rows[name] = rows
        self._results.extend(results)

    def add_profile(self, axis: str, values: torch.Tensor) -> None:
        """Add values along an axis."""
        self._profiles[axis] = values

    def send(self, scalars: Mapping[str, Any]) -> Sent:
        """Start the transfer of everything added, and of the scalars that are tensors."""
        scalars = {**scalars, **at_hand(scalars, self._device)}
        tensors = {name: value for name, value in scalars.items() if _is_single(value)}
        every = [*self._results, *(value.reshape(()) for value in tensors.values())]
        stacked = _stacked(every, self._device)
        if self._profiles:
            stacked = torch.cat([stacked, *(one.to(stacked) for one in self._profiles.values())])
        lengths = {axis: len(values) for axis, values in self._profiles.items()}
        transfer = Transfer(stacked, self._rows, self._width)
        return Sent(transfer, stacked, scalars, tuple(tensors), lengths)

    def fetch(self, scalars: Mapping[str, Any]) -> tuple[dict[str, Float32Array], dict[str, Any]]:
        """Send, and read at once."""
        return self.send(scalars).read()


def at_hand(scalars: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Numbers for tensors on the host, if the rest is elsewhere: sending them there would wait."""
    if device.type == "cpu":
        return {}
    tensors = {name: value for name, value in scalars.items() if _is_single(value)}
    return {name: value.item() for name, value in tensors.items() if value.device.type == "cpu"}


def _stacked(results: Tensors, device: torch.device) -> torch.Tensor:
    """The single values of all results in one tensor, of 64 bits if one of them is."""
    wide = any(result.dtype == torch.float64 for result in results)
    dtype = torch.float64 if wide else torch.float32
    return torch.stack(
        [
            result
            if result.dtype == dtype and result.device == device
            else result.to(device, dtype)
            for result in results
        ]
    )


def norms(tensors: Tensors, order: float = 2.0) -> Tensors:
    """The norm of each tensor, computed in 32 bits at least: 16 would overflow at 65,504."""
    results: dict[int, torch.Tensor] = {}
    for dtype, places in _alike(tensors).items():
        wide = dtype if dtype == torch.float64 else torch.float32
        found = torch._foreach_norm([tensors[i] for i in places], order, dtype=wide)
        results.update(zip(places, found, strict=True))
    return [results[i] for i in range(len(tensors))]


def _alike(tensors: Tensors) -> dict[torch.dtype, list[int]]:
    """Places of the tensors by type; foreach kernels sort out devices themselves, not types."""
    places: dict[torch.dtype, list[int]] = {}
    for place, tensor in enumerate(tensors):
        places.setdefault(tensor.dtype, []).append(place)
    return places


def dense(gradient: torch.Tensor) -> torch.Tensor:
    """A gradient as a tensor that foreach kernels take; its norm is the same."""
    return gradient.coalesce().values() if gradient.is_sparse else gradient


def scale(gradients: Sequence[torch.Tensor | None], factor: float) -> None:
    """Multiply all gradients in place."""
    present = [gradient for gradient in gradients if gradient is not None]
    strided = [gradient for gradient in present if not gradient.is_sparse]
    if strided:  # foreach kernels refuse an empty list
        torch._foreach_mul_(strided, factor)
    for gradient in present:
        if gradient.is_sparse:
            gradient.mul_(factor)


def scale_by(gradients: Sequence[torch.Tensor | None], factor: torch.Tensor) -> None:
    """Multiply all gradients in place by a number that is on the device."""
    present = [gradient for gradient in gradients if gradient is not None]
    dense_ones = [gradient for gradient in present if not gradient.is_sparse]
    for dtype, places in _alike(dense_ones).items():
        torch._foreach_mul_([dense_ones[i] for i in places], factor.to(dtype))
    for gradient in present:
        if gradient.is_sparse:
            gradient.mul_(factor.to(gradient.dtype))


def _is_single(value: object) -> bool:
    return isinstance(value, torch.Tensor) and value.numel() == 1 and not value.is_complex()


def sanitise(gradients: Sequence[torch.Tensor | None], limit: float, whole: Whole = WHOLE) -> float:
    """Set what is not finite to zero and scale the rest down to the norm ``limit``, in place.

    Returns how many elements were not finite. A sparse gradient that holds one becomes all zero.
    """
    count = 0
    for gradient in gradients:
        if gradient is None:
            continue
        values = dense(gradient)
        bad = values.numel() - int(values.isfinite().sum())
        count += bad
        if bad and gradient.is_sparse:
            gradient.zero_()
        elif bad:
            gradient.nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0)
    _scale_to(gradients, limit, whole)
    return float(count)


def _scale_to(gradients: Sequence[torch.Tensor | None], limit: float, whole: Whole) -> None:
    """Scale finite gradients to a global norm of at most ``limit``; the norm itself may overflow.

    So it is taken of gradients divided by their largest element.
    """
    largest = whole.largest(_host_norms(gradients, math.inf))
    if largest <= 0.0:
        return
    scale(gradients, 1.0 / largest)
    scale(gradients, min(largest, limit / whole.norm(_host_norms(gradients, 2.0))))


def _host_norms(gradients: Sequence[torch.Tensor | None], order: float) -> list[float]:
    """One norm a gradient, 0 where there is none."""
    present = {i: dense(g) for i, g in enumerate(gradients) if g is not None and g.numel()}
    found = dict(zip(present, norms(list(present.values()), order), strict=True))
    return [float(found[i]) if i in found else 0.0 for i in range(len(gradients))]
