"""One trial: the same run alone and with Gradwatch, and what came of it.

A fault is *mendable* if it does harm when nobody acts, and the known fix still works at the step
at which it was injected (``benchmarks/detection/oracle.py`` says what harm and recovery are). A run
is *repaired* if at its end the level of its loss is back by the oracle's definition: near the level
before the fault or the healthy twin's, whichever is higher; for a fault from the start near what
the twin had reached after 192 steps. It *survived* if its last losses are finite. *Lost* are the
steps from the injection until the level is back for good, less those that the twin takes itself.

A healthy run is *harmed* if the median of its last 400 losses is over the usual one by more than
1 % and by three standard deviations; usual is that of the run alone and of more whose initial
weights differ by a little: where training is chaotic, any clipped step changes as much. Four more,
by .1 and .2 %; where that looks like harm eight more, by up to .6 %: with five runs a harmless
change fails in one case of forty, with thirteen in one of 150 (Student's t).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from benchmarks.detection.oracle import CHECKS, WINDOW, Oracle
from benchmarks.detection.trainer import HEALTHY
from benchmarks.repair.course import Course, Help, Setting, train
from benchmarks.repair.plan import Plan

GENTLE = frozenset({"arm_guard", "checkpoint_now", "clip_grad_norm", "set_loss_scale", "skip_step"})
DESTRUCTIVE = frozenset({"reinit_layers", "reset_moments", "rollback", "skip_batches"})  # class 3
LAST, WORSE, DEVIATIONS = 400, 0.01, 3.0
FEW = (1e-3, -1e-3, 2e-3, -2e-3)
MORE = tuple(sign * share for share in (3e-3, 4e-3, 5e-3, 6e-3) for sign in (1, -1))


@dataclass(frozen=True)
class Outcome:
    """How one run went; level 0: alone.

    ``change``: by which share the final loss of a healthy run is over that of the run alone;
    ``deeds``: the actions of the client beyond what the guard does, in order.
    """

    level: int
    repaired: bool = False
    survived: bool = True
    lost: int = 0
    rewound: int = 0
    refused: int = 0
    change: float = 0.0
    harmed: bool = False
    deeds: tuple[str, ...] = ()

    @property
    def destroyed(self) -> int:
        """How many of the deeds only a checkpoint could undo."""
        return sum(deed.split("@")[0] in DESTRUCTIVE for deed in self.deeds)


@dataclass(frozen=True)
class Trial:
    """All runs of a plan; ``mendable``: there was something to repair, and it can be repaired."""

    name: str
    fault: str
    seed: int
    healthy: bool
    mendable: bool
    outcomes: tuple[Outcome, ...]


def be_quiet() -> None:
    """One thread a process; what the client would log is in the story."""
    torch.set_num_threads(1)
    logging.getLogger("gradwatch").setLevel(logging.CRITICAL)


def trial(plan: Plan, url: str, levels: Sequence[int]) -> Trial:
    """Make all runs of a plan, with the service at this address."""
    healthy = plan.case is None
    mendable, outcomes = (_healthy if healthy else _faulty)(plan.setting, url, levels)
    return Trial(plan.name, plan.fault, plan.seed, healthy, mendable, tuple(outcomes))


def _faulty(setting: Setting, url: str, levels: Sequence[int]) -> tuple[bool, list[Outcome]]:
    twin = train(replace(setting, fault=HEALTHY)).losses
    oracle = Oracle(setting.task, setting.seed, setting.fault, setting.start, twin)
    alone = train(setting)
    if not (oracle.harmed(alone.losses[setting.start :]) and _has_remedy(setting, oracle)):
        return False, [_mended(setting, oracle, alone, 0)]
    helped = [(level, train(setting, Help(url, level))) for level in levels]
    return True, [
        _mended(setting, oracle, course, level) for level, course in [(0, alone), *helped]
    ]


def _has_remedy(setting: Setting, oracle: Oracle) -> bool:
    training = setting.begin()
    for step in range(setting.start):
        training.step(step)
    training.inject(setting.fault, setting.start)
    return oracle.recovers(training.snapshot(setting.start))


def _mended(setting: Setting, oracle: Oracle, course: Course, level: int) -> Outcome:
    done = setting.steps - setting.start if setting.start else CHECKS[-1]
    bar = oracle.target(setting.start, done)
    losses = np.where(np.isfinite(course.losses), course.losses, np.inf)
    levels = np.median(np.lib.stride_tricks.sliding_window_view(losses, WINDOW), axis=1)
    survived = bool((losses[-WINDOW:] < np.inf).all()) and not course.stopped
    over = np.flatnonzero(levels > bar) + WINDOW  # how many steps had been made by then
    since = setting.start or CHECKS[-1]
    return replace(
        _told(course, level),
        survived=survived,
        repaired=survived and bool(levels[-1] <= bar),
        lost=max(int(over[-1]) - since, 0) if len(over) else 0,
    )


def _healthy(setting: Setting, url: str, levels: Sequence[int]) -> tuple[bool, list[Outcome]]:
    """Where the highest level did nothing but guard, all levels are the same run."""
    alone = _final(train(setting).losses)
    first, *rest = sorted(levels, reverse=True)
    outcomes = [_compared(train(setting, Help(url, first)), first, alone)]
    if outcomes[0].deeds:
        outcomes += [_compared(train(setting, Help(url, level)), level, alone) for level in rest]
    else:
        outcomes += [replace(outcomes[0], level=level) for level in rest]
    finals = [alone]
    for more in (FEW, MORE):
        if any(one.change > WORSE for one in outcomes):
            finals += [_final(train(replace(setting, disturbed=by)).losses) for by in more]
            bar = _share(_worst_usual(finals), alone)
            outcomes = [replace(one, harmed=one.change > bar) for one in outcomes]
        if not any(one.harmed for one in outcomes):
            break
    return False, outcomes


def _worst_usual(finals: Sequence[float]) -> float:
    mean = float(np.mean(finals))
    return mean + max(WORSE * abs(mean), DEVIATIONS * float(np.std(finals, ddof=1)))


def _compared(course: Course, level: int, alone: float) -> Outcome:
    final = _final(course.losses)
    survived = bool(np.isfinite(final)) and not course.stopped
    change = _share(final, alone) if survived else float("inf")
    return replace(_told(course, level), survived=survived, change=change)


def _final(losses: Sequence[float]) -> float:
    return float(np.median(losses[-LAST:]))


def _share(final: float, alone: float) -> float:
    return (final - alone) / abs(alone)


def _told(course: Course, level: int) -> Outcome:
    done = [action for action in course.actions if action["status"] == "applied"]
    deeds = [action for action in done if action["action"] not in GENTLE]
    return Outcome(
        level,
        rewound=course.rewound,
        refused=len(course.refused),
        deeds=tuple(f"{deed['action']}@{deed['step']}" for deed in deeds),
    )
