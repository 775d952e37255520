"""Values that an optimizer sees in its parameter groups during its step, and nobody else.

A scheduler computes the next learning rate from the one it finds in a group (``ExponentialLR``,
``CosineAnnealingLR``, …), from its base rates (``LambdaLR``, ``OneCycleLR``, …), or from both. So a
changed rate is put in just before ``optimizer.step()`` does its work and taken out right after it:
every scheduler goes on exactly as if nothing had happened, and taking a change back is exact.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import torch

Groups: TypeAlias = list[dict[str, Any]]
Change: TypeAlias = Callable[[Groups], list[dict[str, Any]]]


class Overlay:
    """Changes by name: each says for every group which values to replace during the step."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer
        self._changes: dict[str, Change] = {}
        self._kept: list[tuple[dict[str, Any], str, Any]] = []
        self._hooks: list[Any] = []
        self._is_inside = False

    @property
    def groups(self) -> Groups:
        """The parameter groups as schedulers see them."""
        return self._optimizer.param_groups

    def put(self, name: str, change: Change) -> bool:
        """Add or replace a change; False if this optimizer has no hooks around its step."""
        if not self._hooks and not self._hook():
            return False
        self._changes[name] = change
        return True

    def drop(self, name: str) -> None:
        """Take a change out; without any the optimizer is as it was."""
        self._changes.pop(name, None)
        if not self._changes:
            for hook in self._hooks:
                hook.remove()
            self._hooks = []

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Show the groups as schedulers see them: a closure of ``optimizer.step()`` may look."""
        is_inside = self._is_inside
        self._leave()
        yield
        if is_inside:
            self._enter()

    def _hook(self) -> bool:
        try:
            before = self._optimizer.register_step_pre_hook(self._enter)
            after = self._optimizer.register_step_post_hook(self._leave)
        except AttributeError:  # a wrapper that never called Optimizer.__init__
            return False
        self._hooks = [before, after]
        return True

    def _enter(self, *_: Any) -> None:
        self._leave()  # the step before may have raised
        self._is_inside = True
        for change in self._changes.values():
            for group, values in zip(self.groups, change(self.groups), strict=True):
                for name, value in values.items():
                    self._kept.append((group, name, _replace(group, name, value)))

    def _leave(self, *_: Any) -> None:
        self._is_inside = False
        while self._kept:
            _replace(*self._kept.pop())


def _replace(group: dict[str, Any], name: str, value: Any) -> Any:
    """Set a value and return the old one; a tensor stays the same tensor, for captured graphs."""
    old = group[name]
    if not isinstance(old, torch.Tensor):
        group[name] = value
        return old
    kept = old.clone()
    old.copy_(torch.as_tensor(value))
    return kept
