"""What levers may touch: parameters, optimizer, scaler, guard, and the user's callbacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import torch

from gradwatch.guard import Guard
from gradwatch.integrations.callbacks import Callbacks
from gradwatch.integrations.damping import Damping
from gradwatch.integrations.module_tree import Watched
from gradwatch.integrations.overlay import Overlay
from gradwatch.integrations.rate import Rate
from gradwatch.integrations.shards import WHOLE, Whole, whole_of
from gradwatch.watching import Means


class Truncation:
    """For how many time steps to back-propagate, as the user's loop reads it."""

    def __init__(self) -> None:
        self._steps: int | None = None
        self.is_read = False

    def read(self) -> int | None:
        """The limit; None: there is none. Who reads it is taken to obey it."""
        self.is_read = True
        return self._steps

    def set(self, steps: int | None) -> None:
        """Change the limit."""
        self._steps = steps


@dataclass(slots=True)
class Bench:
    """``step`` and ``guard`` are those of the moment; ``floor_guard`` stands in for a guard."""

    parameters: Mapping[str, torch.Tensor]
    optimizer: torch.optim.Optimizer
    overlay: Overlay
    rate: Rate
    callbacks: Callbacks
    scaler: Any = None
    whole: Whole = WHOLE
    damping: Damping = field(default_factory=Damping)
    truncation: Truncation = field(default_factory=Truncation)
    step: int = 0
    guard: Guard = field(default_factory=Guard)
    floor_guard: Guard = field(default_factory=Guard)

    @staticmethod
    def of(
        watched: Sequence[Watched],
        optimizer: torch.optim.Optimizer,
        means: Means,
        first_step: int,
    ) -> Bench:
        """The bench of one monitor."""
        overlay = Overlay(optimizer)
        return Bench(
            parameters={item.layer.name: item.parameter for item in watched},
            optimizer=optimizer,
            overlay=overlay,
            rate=Rate(overlay),
            callbacks=Callbacks(means),
            scaler=means.scaler,
            whole=whole_of([item.parameter for item in watched]),
            step=first_step,
        )

    @property
    def is_armed(self) -> bool:
        """Whether the guard is in force."""
        return self.step <= self.guard.expires_step

    @property
    def is_scaled(self) -> bool:
        """Whether a loss scaler is at work."""
        return self.scaler is not None and bool(self.scaler.is_enabled())

    def loss_scale(self) -> dict[str, Any]:
        """As a tensor where there is one: to turn it into a number would wait for a GPU."""
        if not self.is_scaled:
            return {}
        tensor = getattr(self.scaler, "_get_scale_async", lambda: None)()
        return {"loss_scale": self.scaler.get_scale() if tensor is None else tensor}

    @property
    def limits(self) -> Guard:
        """The guard in force; where it has no ``max_norm`` yet, the one that advice has set."""
        floor = self.floor_guard
        if self.guard.max_norm is not None or self.step > floor.expires_step:
            return self.guard
        if not self.is_armed:
            return floor
        return replace(self.guard, max_norm=floor.max_norm)


Undo: TypeAlias = Callable[[], None]
Lever: TypeAlias = Callable[[Bench, Mapping[str, Any], str], Undo | None]


def nothing() -> None:
    """The undo of what leaves no trace, or cannot be taken back."""
