"""The guard on an accelerator: the device itself clips or leaves the update out, nobody waits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from gradwatch.guard import Guard
from gradwatch.integrations.foreach import scale_by


class DeviceGuard:
    """Does on the device what ``guard.decide`` says as long as another update may be skipped.

    An update is left out by ``found_inf``, with which a loss scaler tells a fused optimizer the
    same: weights, moments and its own count of steps stay as they are.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer: Any = optimizer
        self._refusal: torch.Tensor | None = None
        self._theirs: torch.Tensor | None = None
        self._hooks: list[Any] = []

    @property
    def can_act(self) -> bool:
        """Whether this optimizer listens; before its first update its moments hold nothing yet."""
        listens = getattr(self._optimizer, "_step_supports_amp_scaling", False)
        has_hooks = hasattr(self._optimizer, "_optimizer_step_pre_hooks")  # some wrappers do not
        return bool(listens) and has_hooks and len(self._optimizer.state) > 0

    def apply(
        self, limits: Guard, norms: torch.Tensor, gradients: Sequence[torch.Tensor | None]
    ) -> None:
        """Judge by the norms of all gradients; the next update obeys."""
        norm = norms.double().square().sum().sqrt()
        finite = norm.isfinite()
        refused = ~finite if limits.skip_nonfinite else torch.zeros_like(finite)
        if limits.skip_above is not None:
            refused |= finite & (norm > limits.skip_above)
        if limits.max_norm is not None:
            factor = torch.clamp(limits.max_norm / (norm + 1e-6), max=1.0)
            scale_by(gradients, torch.where(finite & (norm > limits.max_norm), factor, 1.0))
        self._refusal = refused.float()
        if not self._hooks:
            before = self._optimizer.register_step_pre_hook(self._enter)
            self._hooks = [before, self._optimizer.register_step_post_hook(self._leave)]

    def forget(self) -> None:
        """The next update is not judged."""
        self._refusal = None

    def leave(self) -> None:
        """Let go of the optimizer."""
        self.forget()
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def _enter(self, *_: Any) -> None:
        self._theirs = getattr(self._optimizer, "found_inf", None)  # of a scaler we do not know
        ours = self._refusal
        if ours is not None:
            both = ours if self._theirs is None else torch.maximum(ours, self._theirs)
            self._optimizer.found_inf = both

    def _leave(self, *_: Any) -> None:
        if self._refusal is None:
            return
        self._refusal = None
        if self._theirs is None:
            del self._optimizer.found_inf
        else:
            self._optimizer.found_inf = self._theirs
