"""Overhears the losses that a model of Hugging Face returns, since no callback is told them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


class Losses:
    """The losses of one update, which may be spread over several forward passes.

    Those of a model that is told ``num_items_in_batch`` are parts of a sum, others are means.
    """

    def __init__(self) -> None:
        self._sum: torch.Tensor | None = None
        self._count = 0
        self._are_parts = False
        self._hook: Any = None

    def follow(self, model: torch.nn.Module) -> None:
        """Begin to listen to a model."""
        self.leave()
        self._hook = model.register_forward_hook(self._note, with_kwargs=True)

    def leave(self) -> None:
        """Listen no more."""
        if self._hook is not None:
            self._hook.remove()
        self._sum, self._count, self._hook = None, 0, None

    def take(self, processes: int) -> torch.Tensor | None:
        """The loss of this update, if the model returns one.

        ``processes``: over how many of them ``num_items_in_batch`` was counted.
        """
        total, count = self._sum, self._count
        self._sum, self._count = None, 0
        if total is None:
            return None
        return total * processes if self._are_parts else total / count

    def _note(
        self, model: torch.nn.Module, _: object, given: Mapping[str, Any], output: Any
    ) -> None:
        loss = output.get("loss") if isinstance(output, Mapping) else _first(output)
        if not model.training or not isinstance(loss, torch.Tensor) or loss.numel() != 1:
            return
        self._are_parts = given.get("num_items_in_batch") is not None
        self._sum = loss.detach() if self._sum is None else self._sum + loss.detach()
        self._count += 1


def _first(output: Any) -> Any:
    return output[0] if isinstance(output, tuple) and output else None
