"""Jobs of several ranks, each a process of its own that trains with gloo and torch's DDP.

``python -m tests.client.rank_scenarios RANK WORLD STORE NAME …`` plays scenarios one after another
and prints what came out as JSON. Every rank has a service in memory of its own, so that what a rank
has heard of, and when, is written down.
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import math
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from gradwatch.config import Config
from gradwatch.integrations import ranks
from gradwatch.launch import Launch
from gradwatch.run import Run
from tests.client.autopilot.service_says import advice, alert
from tests.client.conftest import FAST, RUN_ID
from tests.client.memory_service import MemoryService

GUARD = {"max_norm": 0.5, "skip_above": 1e6, "skip_nonfinite": True, "max_consecutive_skips": 4}


class Rank:
    """One rank: a model, an optimizer, a run with its own service, and what it logged."""

    def __init__(self, number: int, world: int, *, replicated: bool = True) -> None:
        self.number, self.world = number, world
        torch.manual_seed(3)
        plain = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 1))
        self.model: Any = DistributedDataParallel(plain) if replicated else plain
        self.optimizer = torch.optim.SGD(plain.parameters(), lr=0.05, momentum=0.9)
        self.service = MemoryService()
        self.run = Run(Launch(RUN_ID, "lm", "l1"), Config(**FAST), (), self.service.transport)
        self.lines: list[str] = []
        self._handler = logging.Handler(logging.WARNING)
        self._handler.emit = lambda record: self.lines.append(record.getMessage())  # type: ignore[method-assign]
        logging.getLogger("gradwatch").addHandler(self._handler)
        self.refused: list[int] = []
        self.step = 0

    def hear(self, *items: dict[str, Any], **limits: Any) -> None:
        """From here on this rank has heard of a guard and of advice."""
        self.service.guard = GUARD | {"expires_step": 10_000} | limits
        self.service.advice = list(items)
        self.service.alerts, self.service.health = ([alert()], "critical") if items else ([], "ok")
        self.run.event("note")
        assert self.run.flush(10.0)

    def watch(self, **options: Any) -> None:
        self.monitor = self.run.watch(self.model, self.optimizer, **options)

    def train(self, steps: int, fault: Callable[[int], float] = lambda _: 1.0) -> None:
        for _ in range(steps):
            torch.manual_seed(1000 * self.step + self.number)  # every rank has its own data
            inputs = torch.randn(16, 6)
            self.optimizer.zero_grad()
            loss = (self.model(inputs) - inputs.sum(1, keepdim=True)).square().mean()
            (loss * fault(self.step)).backward()
            if self.monitor.step(loss=loss):
                self.optimizer.step()
            else:
                self.refused.append(self.step)
            self.step += 1

    def report(self) -> dict[str, Any]:
        self.run.finish()
        logging.getLogger("gradwatch").removeHandler(self._handler)
        digest = hashlib.sha256()
        for parameter in self.model.parameters():
            digest.update(parameter.detach().numpy().tobytes())
        told = [event for event in self.service.events if event["kind"] == "advice"]
        return {
            "weights": digest.hexdigest(),
            "refused": self.refused,
            "applied": self.monitor.applied,
            "told": [(event["step"], event["action"], event["status"]) for event in told],
            "clipped": int((~torch.tensor(self.service.scalar("clip_norm")).isnan()).sum()),
            "stopped": self.monitor.stopped,
            "lines": self.lines,
        }


def one_decision(rank: Rank) -> None:
    """Ranks hear different things at different times, and do the same at the same step."""
    rank.watch(autopilot=2)
    if rank.number == 1:
        rank.hear(advice("cap_lr", params={"max_lr": 1e-5}), max_norm=1e-3)
    rank.train(11)
    if rank.number == 0:
        rank.hear(advice("scale_lr"), advice("skip_step"))
    rank.train(20, lambda step: math.nan if step in (18, 25) else 1.0)
    if rank.number == 0:
        rank.hear(max_norm=0.25)
    rank.train(60)


def a_return(rank: Rank) -> None:
    """Every rank goes back to the same checkpoint."""
    saved: dict[int, Any] = {}

    def save(step: int) -> None:
        saved[step] = copy.deepcopy((rank.model.state_dict(), rank.optimizer.state_dict()))

    def load(step: int) -> None:
        model, optimizer = copy.deepcopy(saved[step])
        rank.model.load_state_dict(model)
        rank.optimizer.load_state_dict(optimizer)

    rank.watch(autopilot=3, save=save, load=load, save_every=70)
    rank.hear()
    rank.train(100)
    if rank.number == 0:
        rank.hear(advice("rollback", params={"latest_step": 80}), max_norm=1e9)
    rank.train(10)
    assert list(saved) == [0, 72]


def half_a_return(rank: Rank) -> None:
    """Only some ranks can load: the replicas are none any more."""
    rank.watch(autopilot=3, save=lambda _: True, load=lambda _: rank.number == 0, save_every=64)
    rank.hear()
    rank.train(70)
    rank.hear(advice("rollback", params={"latest_step": 80}))
    rank.train(20)


def a_long_word(rank: Rank) -> None:
    """Orders longer than the first message."""
    rank.watch(autopilot=3)
    gains = {"module.0.weight": 2.0, "module.2.weight": 2.0} | {
        f"layer {i}": 1.5 for i in range(300)
    }
    known = {name: gain for name, gain in gains.items() if name.startswith("module")}
    rank.hear(
        advice("reinit_layers", params={"divide_by": gains}, title="too many"),
        advice(
            "reinit_layers",
            "alert-2",
            severity="error",
            params={"divide_by": known, "why": "x" * 3000},
        ),
    )
    rank.train(20)


def several_trainings(rank: Rank) -> None:
    """Each is watched anew, and the one before is closed."""
    for _ in range(3):
        rank.watch()
        rank.train(9)
        rank.monitor.close()
    assert distributed.get_world_size() == rank.world


def a_rank_that_does_not_watch(rank: Rank) -> None:
    """Rank 0 alone is watched: it observes, and the others are not disturbed."""
    if rank.number == 0:
        rank.watch()
    else:
        rank.monitor = Run.watch(rank.run, object(), object())
        rank.lines.clear()
    rank.hear(max_norm=1e-6)
    rank.train(30)
    distributed.barrier()


def a_rank_that_leaves(rank: Rank) -> None:
    """The last rank stops training after 20 steps."""
    rank.watch(autopilot=2)
    rank.hear(max_norm=1e-6)
    rank.train(20)
    if rank.number == rank.world - 1:
        distributed.destroy_process_group()
        return
    rank.train(40)


def a_group_that_is_shut_down(rank: Rank) -> None:
    """The job ends its use of torch.distributed and goes on alone."""
    rank.watch()
    rank.hear(max_norm=1e-6)
    rank.train(20)
    distributed.destroy_process_group()
    rank.train(20)


REPLICATED = {
    one_decision,
    a_return,
    a_long_word,
    several_trainings,
    a_rank_that_does_not_watch,
}


def play(scenario: Callable[[Rank], None], number: int, world: int) -> dict[str, Any]:
    ranks.PATIENCE = timedelta(seconds=5 if scenario is a_rank_that_does_not_watch else 60)
    rank = Rank(number, world, replicated=scenario in REPLICATED)
    scenario(rank)
    return rank.report()


def main(number: int, world: int, store: str, *names: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=number, world_size=world
    )
    print(json.dumps({name: play(globals()[name], number, world) for name in names}))
    if distributed.is_initialized():
        distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
