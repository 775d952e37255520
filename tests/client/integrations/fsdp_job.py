"""One rank of a job sharded by FSDP2: ``… RANK WORLD STORE SCENARIO …`` prints what came out.

Each rank has a service in memory of its own, and trains the same net unsharded beside it.
"""

from __future__ import annotations

import json
import logging
import math
import sys
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
from torch import distributed, nn
from torch.distributed.fsdp import fully_shard

from gradwatch.config import Config
from gradwatch.integrations import ranks
from gradwatch.launch import Launch
from gradwatch.run import Run
from tests.client.conftest import FAST, RUN_ID
from tests.client.integrations import exploding_net
from tests.client.integrations.exploding_net import Exploding
from tests.client.integrations.explosion import STEPS, documented
from tests.client.memory_service import MemoryService

WITH_SEVERAL = ("PyTorch: several processes", "PyTorch: FSDP2")
GUARD = {"skip_nonfinite": True, "max_consecutive_skips": 1, "expires_step": 10_000}


def net() -> Any:
    """Odd sizes: a rank has nothing of the last bias."""
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1))


def flat(tensors: Any) -> Any:
    whole = [t.full_tensor() if hasattr(t, "full_tensor") else t for t in tensors]
    return torch.cat([tensor.detach().flatten() for tensor in whole])


class Rank:
    """A sharded net that is watched, and the same net as a whole that is not."""

    def __init__(self, number: int, *, dtype: Any = torch.float32, **guard: Any) -> None:
        self.sharded, self.whole = net().to(dtype), net().to(dtype)
        for module in (self.sharded[0], self.sharded[2], self.sharded):
            fully_shard(module)
        self.number, self.dtype = number, dtype
        self.optimizers = [
            torch.optim.SGD(one.parameters(), lr=0.1) for one in (self.sharded, self.whole)
        ]
        self.service = MemoryService()
        self.run = Run(Launch(RUN_ID, "lm", "l1"), Config(**FAST), (), self.service.transport)
        if guard:
            self.service.guard = GUARD | guard
            self.run.event("note")
            assert self.run.flush(10.0)
        self.monitor: Any = None
        self.made: list[bool] = []
        self.gradients: list[list[float]] = []

    def watch(self, **options: Any) -> Rank:
        self.monitor = self.run.watch(self.sharded, self.optimizers[0], **options)
        return self

    def train(self, steps: int, fault: Callable[[int], float] = lambda _: 1.0) -> Rank:
        for step in range(steps):
            torch.manual_seed(step)  # every rank has the same data, so the whole net does too
            inputs = torch.randn(16, 6).to(self.dtype)
            for model, optimizer in zip((self.sharded, self.whole), self.optimizers, strict=True):
                optimizer.zero_grad()
                loss = (model(inputs) - inputs.sum(1, keepdim=True)).square().mean()
                (loss * fault(step)).backward()
            found = [float(one.grad.float().norm()) for one in self.whole.parameters()]
            self.gradients.append(found)
            made = self.monitor is None or self.monitor.step(loss=loss)
            self.made.append(made)
            if made:
                self.optimizers[0].step()
                self.optimizers[1].step()
        return self

    def report(self) -> dict[str, Any]:
        self.run.finish()
        return {
            "gradients": self.gradients,
            "grad_norm": self.service.stat("grad_norm"),
            "weight_norm": self.service.stat("weight_norm")[-1:],
            "update_norm": self.service.stat("update_norm"),
            "grad_max": self.service.stat("grad_max"),
            "global": self.service.scalar("grad_norm"),
            "made": self.made,
            "weights": flat(self.sharded.parameters()).tolist(),
            "whole": flat(self.whole.parameters()).tolist(),
            "layers": self.service.runs[RUN_ID].get("layers", []),
        }


def measured(number: int) -> dict[str, Any]:
    return Rank(number).watch().train(5).report()


def halves(number: int) -> dict[str, Any]:
    return Rank(number, dtype=torch.bfloat16).watch().train(2).report()


def clipped(number: int) -> dict[str, Any]:
    return Rank(number, max_norm=0.5, skip_above=None).watch().train(1).report()


def mended(number: int) -> dict[str, Any]:
    """The first infinite gradient is skipped, the second one mended."""
    rank = Rank(number, max_norm=0.5, skip_above=None).watch()
    return rank.train(2, lambda _: math.inf).report()


def alone(number: int) -> dict[str, Any]:
    """Only rank 0 is watched: it gives up, and the job goes on."""
    ranks.PATIENCE = timedelta(seconds=2)
    lines: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("gradwatch").addHandler(handler)
    rank = Rank(number)
    if number == 0:
        rank.watch(autopilot=0)
    rank.train(5)
    distributed.barrier()
    return {"made": rank.made, "lines": lines}


def exploded(number: int) -> dict[str, Any]:
    """The examples of the docs, each on data of its own a rank; the service is a real one."""
    found = {}
    for title in WITH_SEVERAL:
        job = exploding_net.job(exploding_net.net(Exploding(16, 16)), STEPS, seed=number)
        job |= {"run_id": str(uuid.uuid5(uuid.NAMESPACE_URL, title)), "launch_id": "one"}
        exec(documented(title), job)  # noqa: S102
        job["run"].finish()
        found[title] = job["run"].id
    return found


def main(number: int, world: int, store: str, *names: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=number, world_size=world
    )
    print(json.dumps({name: globals()[name](number) for name in names}))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
