"""Reads what a user gave to ``Run.watch``: how much may be done to the job, and by which means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypedDict, cast

Callback: TypeAlias = Callable[..., object]

LEVELS = (0, 1, 2, 3)
SAVE_EVERY = 500
STATISTICS = ("grad_zero", "act_grad_norm", "bias_grad_norm")
NORMS, FULL = "norms", "full"


class WatchOptions(TypedDict, total=False):
    """The keyword-only arguments of ``Run.watch``, all optional."""

    autopilot: int | None
    scaler: Any
    save: Callback | None
    load: Callback | None
    truncate: Callback | None
    save_every: int
    through_time: Any
    statistics: str | Sequence[str]
    every: int | None


@dataclass(frozen=True, slots=True)
class Means:
    """The user's choice: the level, and what the autopilot may use."""

    level: int
    scaler: Any = None
    save: Callback | None = None
    load: Callback | None = None
    truncate: Callback | None = None
    save_every: int = SAVE_EVERY
    through_time: Any = None
    statistics: str | Sequence[str] = ()
    every: int | None = None

    @property
    def is_full(self) -> bool:
        """Whether gradients are measured in every way, at the steps that are measured in full."""
        return self.statistics == FULL

    @property
    def is_lean(self) -> bool:
        """Whether nothing but the norms of gradients is measured."""
        return self.statistics == NORMS

    @property
    def listens(self) -> bool:
        """Whether something is measured that gradients of parameters do not show."""
        return bool(self.on_request) or self.through_time is not None

    @property
    def on_request(self) -> Sequence[str]:
        """The statistics that were asked for by name."""
        return () if isinstance(self.statistics, str) else self.statistics


def read_means(options: WatchOptions, default_level: int) -> tuple[Means, list[str]]:
    """The choice; and which of the options could not be understood and were left out."""
    given = cast("Mapping[str, Any]", options)
    good = {
        name: value
        for name, value in given.items()
        if value is not None and name in _READERS and _READERS[name](value)
    }
    bad = [name for name, value in given.items() if value is not None and name not in good]
    level = good.pop("autopilot", default_level)
    return Means(level, **good), bad


def is_level(value: object) -> bool:
    """Whether this is a level of the autopilot: 0 to 3."""
    return isinstance(value, int) and not isinstance(value, bool) and value in LEVELS


def _is_choice(value: object) -> bool:
    if isinstance(value, str):
        return value in (NORMS, FULL)
    return isinstance(value, list | tuple) and set(value) <= {*STATISTICS}


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


_READERS: Mapping[str, Callable[[Any], bool]] = {
    "autopilot": is_level,
    "scaler": lambda scaler: callable(getattr(scaler, "get_scale", None)),
    "save": callable,
    "load": callable,
    "truncate": callable,
    "save_every": _is_count,
    "through_time": lambda module: hasattr(module, "register_forward_hook"),
    "statistics": _is_choice,
    "every": _is_count,
}
