"""A training in the hands of Gradwatch: the client stands where the recorder's meter stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradwatch
from benchmarks.detection.task import Job
from benchmarks.detection.trainer import Snapshot, Training

# These nets train a hundred times faster than real ones: waiting for the service this often makes
# what it says as current as it is for a job whose steps take 100 ms.
FLUSH_STEPS = 4
SAVE_EVERY = 50


class Scaler:
    """The loss scale of a job as the client knows one: a ``torch.amp.GradScaler``."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def is_enabled(self) -> bool:
        """A scale that nobody checks is no scaler."""
        return self._job.scaler is not None and self._job.scaler.checked

    def get_scale(self) -> float:
        assert self._job.scaler is not None
        return self._job.scaler.scale

    def state_dict(self) -> dict[str, float]:
        return {"scale": self.get_scale()}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        assert self._job.scaler is not None
        self._job.scaler.scale = state["scale"]


class Live:
    """Watches the only rank of a training, at a level of the autopilot, by a service at ``url``.

    ``heard``: what the service said, and from which step on the job knew; ``refused``: the steps
    whose update was not made; ``rewound``: how many steps all rollbacks together threw away.
    """

    def __init__(self, training: Training, url: str, level: int, **launch: Any) -> None:
        (self._job,) = training.ranks
        self._training = training
        self._step = 0
        self._kept: dict[int, Snapshot] = {}
        self.heard: dict[str, tuple[int, Mapping[str, Any]]] = {}
        self.refused: list[int] = []
        self.rewound = 0
        name = f"{training.task.name}-{training.seed}-{level}"
        self.run = gradwatch.init("repair", name, url=url, mode="online", **launch)
        self._monitor = self.run.watch(
            self._job.model,
            self._job.optimizer,
            autopilot=level,
            scaler=Scaler(self._job) if self._job.scaler else None,
            save=self._save,
            load=self._load,
            save_every=SAVE_EVERY,
        )

    @property
    def stopped(self) -> bool:
        """Whether the client says that the run cannot go on."""
        return self._monitor.stopped

    def before(self, step: int, scalars: Mapping[str, float]) -> None:
        """Show the client a step; a refused one loses its gradients, so the update does nothing."""
        self._step = step
        profile = self._job.profile
        profiles = {} if profile is None else {"time": profile()}
        if not self._monitor.step(profiles=profiles, **scalars):
            self.refused.append(step)
            self._job.optimizer.zero_grad()

    def after(self) -> None:
        """Wait for the service now and then."""
        if (self._step + 1) % FLUSH_STEPS == 0:
            self.run.flush()
            self._listen()

    def end(self, state: str) -> None:
        """Deliver what is left; ``finished`` or ``failed``."""
        self.run.finish(state)

    def _listen(self) -> None:
        for alert in self.run.alerts:
            said = f"{alert['id']} {alert['state']} {alert['severity']} {alert.get('cause')}"
            self.heard.setdefault(said, (self._step, alert))
        for advice in self.run.advice:
            said = f"{advice['id']} {advice['action']} {advice['params']}"
            self.heard.setdefault(said, (self._step, advice))

    def _save(self, step: int) -> None:
        self._kept[step] = self._training.snapshot(step)

    def _load(self, step: int, skip_data_to: int) -> None:
        """The data need no skipping: a step's batch is drawn by its number, which never recurs."""
        del skip_data_to
        self._training.restore(self._kept[step])
        self.rewound += self._step - step
