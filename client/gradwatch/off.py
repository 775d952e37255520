"""Reporting switched off: objects with the same methods that do nothing."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from gradwatch.buffer import Counts
from gradwatch.guard import PROCEED, Decision, Guard


class OffMonitor:
    """A monitor that watches nothing and lets every update pass."""

    stopped = False
    applied: tuple[str, ...] = ()
    bptt_steps: int | None = None

    def step(
        self, loss: Any = None, *, profiles: Mapping[str, Any] | None = None, **scalars: Any
    ) -> bool:
        """Do nothing; always True."""
        del loss, profiles, scalars
        return True

    def flush(self) -> None:
        """Nothing is ever held back."""

    def close(self) -> None:
        """Nothing is ever held."""


class OffRun:
    """A run that reports nothing, for ``GRADWATCH_MODE=disabled`` and unusable settings."""

    id = ""
    counts = Counts()
    guard = Guard()
    autopilot = 0
    next_step = 0

    @property
    def advice(self) -> list[Mapping[str, Any]]:
        """Always empty."""
        return []

    @property
    def alerts(self) -> list[Mapping[str, Any]]:
        """Always empty."""
        return []

    @property
    def actions(self) -> list[Mapping[str, Any]]:
        """Always empty."""
        return []

    def log(
        self, step: Any = None, *, layers: Any = None, profiles: Any = None, **scalars: Any
    ) -> None:
        """Do nothing."""

    def event(self, kind: str, step: Any = None, **fields: Any) -> None:
        """Do nothing."""

    def decide(self, grad_norm: Any, step: Any = None) -> Decision:
        """Always proceed."""
        del grad_norm, step
        return PROCEED

    def watch(self, model: Any, optimizer: Any, **options: Any) -> OffMonitor:
        """A monitor that does nothing."""
        del model, optimizer, options
        return OffMonitor()

    def flush(self, timeout_seconds: float = 10.0) -> bool:
        """Nothing is ever pending."""
        del timeout_seconds
        return True

    def finish(self, state: str = "finished", reason: str | None = None) -> None:
        """Do nothing."""

    def __enter__(self) -> OffRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        return None
