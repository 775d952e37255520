"""What an integration gives to a job: something to call once a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Monitor(Protocol):
    """What ``Run.watch`` returns: call ``step`` between ``backward()`` and ``optimizer.step()``."""

    @property
    def stopped(self) -> bool:
        """Whether the run cannot go on: leave the loop."""
        ...

    @property
    def applied(self) -> tuple[str, ...]:
        """The actions of the autopilot that are in force."""
        ...

    @property
    def bptt_steps(self) -> int | None:
        """At most so many time steps should be back-propagated through; None: no limit."""
        ...

    def step(
        self, loss: Any = None, *, profiles: Mapping[str, Any] | None = None, **scalars: Any
    ) -> bool:
        """Collect and send the statistics of one step; False means: skip this update."""
        ...

    def flush(self) -> None:
        """Report the newest step although its update has not been measured."""
        ...

    def close(self) -> None:
        """Report the newest step and let go of the model: training has ended."""
        ...


class Holder(Protocol):
    """Something that may hold back the report of the newest step."""

    def flush(self) -> None:
        """Log the report held back."""
        ...

    def forget(self) -> None:
        """Drop the report held back: another process has it."""
        ...


class Watcher(Holder, Monitor, Protocol):
    """A monitor that holds a report back."""
