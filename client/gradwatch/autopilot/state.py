"""What the autopilot remembers from step to step; values only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gradwatch.autopilot.advice import Advice, OpenAlert
from gradwatch.news import News


@dataclass(frozen=True, slots=True)
class Moment:
    """What is known at one step.

    ``is_sound``: loss and gradient are finite, here and at the steps since the last look.
    ``weights_lost``: some weights are not finite; ``loss_lost``: nor were 16 losses on end.
    ``median``: metric -> its median over the newest 16 reports, None if it was not measured.
    """

    step: int
    news: News
    is_sound: bool = True
    weights_lost: bool = False
    loss_lost: bool = False
    median: Callable[[str], float | None] = lambda _metric: None


@dataclass(frozen=True, slots=True)
class Trial:
    """An action that was applied at ``step`` and is not verified yet."""

    advice: Advice
    step: int

    @property
    def deadline(self) -> int:
        """The step at which it is judged."""
        return self.step + self.advice.check.within_steps


@dataclass(frozen=True, slots=True)
class Spent:
    """Advice that was dealt with at ``step``; ``live`` as long as its alert is not over.

    Further actions against the same alert wait until ``holds_until``; ``done``: it was applied.
    """

    alert_id: str
    action: str
    step: int
    holds_until: int
    live: bool = True
    done: bool = True


@dataclass(frozen=True, slots=True)
class Hold:
    """The learning rate is held below its schedule, since ``step``, last on this advice.

    ``factor``: the product of all factors; ``released``: the step from which it returns to the
    schedule; ``final``: it was let go once, and the trouble came back.
    """

    advice: Advice
    step: int
    factor: float = 1.0
    released: int | None = None
    final: bool = False


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint saved after 64 sound steps, and how often the run went back to it."""

    step: int
    returns: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """Everything the autopilot remembers.

    ``level``: the user's choice (1 to 3); ``save_every``: steps between checkpoints, 0 for none;
    ``acted``: steps of the newest three class 2 actions; ``bold_step``: that of the newest action
    of class 2 or 3; ``sound_since``: the first step of the present good times; ``answered``: the
    wishes of people that were dealt with, as long as the service repeats them.
    """

    level: int
    first_step: int = 0
    save_every: int = 0
    news: News = field(default_factory=News)
    advice: tuple[Advice, ...] = ()
    alerts: tuple[OpenAlert, ...] = ()
    trials: tuple[Trial, ...] = ()
    spent: Mapping[str, Spent] = field(default_factory=dict)
    acted: tuple[int, ...] = ()
    bold_step: int | None = None
    hold: Hold | None = None
    sound_since: int = 0
    checkpoints: tuple[Checkpoint, ...] = ()
    next_save: int = 0
    stopped: bool = False
    answered: frozenset[str] = frozenset()

    @staticmethod
    def initial(level: int, first_step: int, save_every: int) -> State:
        """The state before the first step."""
        return State(
            level=level,
            first_step=first_step,
            save_every=save_every,
            sound_since=first_step,
            next_save=first_step,
        )

    @property
    def busy(self) -> bool:
        """Whether a step may change something although nothing new was heard."""
        return bool(self.advice or self.alerts or self.trials or self.hold)

    def is_open(self, alert_id: str) -> bool:
        """Whether an alert is not over."""
        return any(alert.id == alert_id for alert in self.alerts)
