"""How one training goes: alone, without its fault, or with Gradwatch at some level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, cast

import torch

from benchmarks.detection.fault import Fault
from benchmarks.detection.meter import Meter
from benchmarks.detection.task import Task
from benchmarks.detection.trainer import HEALTHY, Training
from benchmarks.repair.live import Live


@dataclass(frozen=True)
class Setting:
    """A training of so many steps, with a fault from step ``start`` on.

    ``disturbed``: by which share its initial weights differ from the usual ones, at random.
    """

    task: Task
    seed: int
    steps: int
    fault: Fault = HEALTHY
    start: int = 0
    disturbed: float = 0.0

    def begin(self) -> Training:
        """The training before its first step; every step counts, however seldom it logs."""
        training = Training(replace(self.task, log_every=1), self.seed)
        if self.disturbed:
            with torch.no_grad():
                for parameter in training.ranks[0].parameters:
                    parameter.mul_(1 + self.disturbed * torch.randn_like(parameter))
        return training


@dataclass(frozen=True)
class Help:
    """The service at ``url``, and how much the client may do: 1 to 3."""

    url: str
    level: int


@dataclass(frozen=True)
class Course:
    """The loss of every step, what the client did, and what it heard when.

    ``actions`` are those of ``Run.actions``; ``refused``: steps without an update; ``rewound``:
    steps that rollbacks threw away; ``stopped``: the client said that the run cannot go on.
    """

    losses: tuple[float, ...]
    actions: tuple[Mapping[str, Any], ...] = ()
    heard: tuple[tuple[int, Mapping[str, Any]], ...] = ()
    refused: tuple[int, ...] = ()
    rewound: int = 0
    stopped: bool = False


def train(setting: Setting, help_: Help | None = None) -> Course:
    """Train to the end, over the crash of the job if the task has one."""
    task = setting.task
    job = _Launch(setting, help_)
    if task.crash is None or task.crash >= setting.steps:
        return _course(job.go(0, setting.steps))
    back = task.crash - task.back
    checkpoint = job.go(0, back).training.snapshot(back)
    job.go(back, task.crash)
    run = {}
    if job.live:
        job.live.end("failed")
        run = {"id": job.live.run.id}
    again = _Launch(setting, help_, {**run, "resume_step": back})
    again.training.restore(checkpoint, optimizer=task.keeps_optimizer)
    again.losses += job.losses[:back]
    return _course(again.go(back, setting.steps), job)


class _Launch:
    """One process of the job; Gradwatch joins at its first step."""

    def __init__(
        self, setting: Setting, help_: Help | None, launch: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        self.training = setting.begin()
        self.live: Live | None = None
        self.losses: list[float] = []
        self._setting, self._help, self._launch = setting, help_, launch

    def go(self, first: int, end: int) -> _Launch:
        """Train on; a rollback gives the run as many steps more as it threw away."""
        step = first
        while step < end + (self.live.rewound if self.live else 0):
            self._step(step)
            step += 1
            if self.live and self.live.stopped:
                break
        return self

    def _step(self, step: int) -> None:
        setting = self._setting
        if step == setting.start and setting.fault is not HEALTHY:
            self.training.inject(setting.fault, step)
        if self._help and not self.live:
            self.live = Live(self.training, self._help.url, self._help.level, **self._launch)
        if self.live and step in setting.task.phases:
            self.live.run.event("phase", step)
        meters = [cast("Meter", self.live)] if self.live else []
        self.losses.append(self.training.step(step, meters))


def _course(last: _Launch, *earlier: _Launch) -> Course:
    lives = [one.live for one in (*earlier, last) if one.live]
    if lives:
        lives[-1].end("failed" if lives[-1].stopped else "finished")
    return Course(
        losses=tuple(last.losses),
        actions=tuple(action for live in lives for action in live.run.actions),
        heard=tuple(said for live in lives for said in live.heard.values()),
        refused=tuple(step for live in lives for step in live.refused),
        rewound=sum(live.rewound for live in lives),
        stopped=any(live.stopped for live in lives),
    )
