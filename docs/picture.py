"""Draws the README's picture from the demo's two jobs, trained anew: ``make docs``."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

import gradwatch
from gradwatch_service.demo.job import Course, Heard, Run, Settings, start, train
from gradwatch_service.demo.outcome import Fate, fate_of
from gradwatch_service.demo.policy import ALONE, Policy, guided
from gradwatch_service.demo.server import serving

TARGET = Path(__file__).parent / "picture.svg"
ALONE_COLOUR, HELPED_COLOUR, GUARD_COLOUR, ALERT_COLOUR = "#b3261e", "#1a6fb0", "#6b7280", "#b45309"


@dataclass
class Watched:
    """A job's course, and the limit its guard had at each step."""

    course: Course
    limits: list[float] = field(default_factory=list)


def main() -> None:
    """Train, draw, write the file."""
    settings = Settings()
    with tempfile.TemporaryDirectory() as folder, serving(f"sqlite:///{folder}/picture.db") as url:
        alone = watched(settings, first := start(settings, "alone", url), help_it=False)
        first.finish("failed")
        helped = watched(settings, second := start(settings, "helped", url), help_it=True)
        second.finish()
    draw(alone, helped, fate_of(alone.course))


def watched(settings: Settings, run: Run, *, help_it: bool) -> Watched:
    """Train one of the two jobs to its end, or until it fails."""
    policy = guided(run) if help_it else ALONE
    limits: list[float] = []

    def decide(norm: float, step: int) -> gradwatch.Decision:
        limits.append(run.guard.max_norm or float("nan"))
        return policy.decide(norm, step)

    course = train(settings, run, Policy(decide, policy.adapt))
    return Watched(course, limits)


def draw(alone: Watched, helped: Watched, fate: Fate) -> None:
    """Norm and loss of both jobs, the guard's limit, and what the service said when."""
    mpl.rcParams |= {"svg.hashsalt": "gradwatch", "font.size": 9, "font.family": "sans-serif"}
    figure, (norm, loss) = plt.subplots(2, 1, figsize=(9, 5.2), sharex=True, layout="constrained")
    _curves(norm, alone.course.grad_norm, helped.course.grad_norm)
    norm.plot(helped.limits, color=GUARD_COLOUR, lw=1.2, ls="--", label="guard: largest norm")
    norm.set(ylabel="gradient norm", yscale="log", ylim=(1e-2, 1e6))
    _curves(loss, alone.course.loss, helped.course.loss)
    loss.set(ylabel="loss", yscale="log", xlabel="step", ylim=(2e-3, 20))
    _mark(norm, loss, fate)
    norm.legend(loc="upper right", frameon=False)
    for axes in (norm, loss):
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.01)
    figure.savefig(TARGET, metadata={"Date": None})


def _curves(axes: Axes, alone: Sequence[float], helped: Sequence[float]) -> None:
    axes.plot(alone, color=ALONE_COLOUR, lw=0.9, label="without Gradwatch's help")
    axes.plot(helped, color=HELPED_COLOUR, lw=0.9, label="same seed, guard and advice applied")


def _mark(norm: Axes, loss: Axes, fate: Fate) -> None:
    heard = fate.alert
    if heard is None or fate.ruin_step is None:
        raise SystemExit("the demo's job was not ruined: nothing to draw")
    for axes in (norm, loss):
        axes.axvline(heard.step, color=ALERT_COLOUR, lw=1)
        axes.axvline(fate.ruin_step, color=ALONE_COLOUR, lw=1, ls=":")
    norm.annotate(
        _said(heard), (heard.step, 3e4), (8, 0), textcoords="offset points", color=ALERT_COLOUR,
        va="center",
    )  # fmt: skip
    loss.annotate(
        f"without help: ruined at step {fate.ruin_step}, NaN from {fate.nonfinite_step}",
        (fate.nonfinite_step or fate.ruin_step, 6), (6, 0),
        textcoords="offset points", color=ALONE_COLOUR,
    )  # fmt: skip


def _said(heard: Heard) -> str:
    alert = heard.alert
    title = str(alert["title"]).partition(" (")[0]
    return (
        f"step {heard.step}: {title}\ncause {alert['cause']}, confidence {alert['confidence']:.0%}"
    )


if __name__ == "__main__":
    main()
