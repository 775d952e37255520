"""A rank whose learning rate jumps: ``python -m tests.e2e.rank_job RANK WORLD STORE URL``."""

from __future__ import annotations

import json
import sys

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

import gradwatch

RUN_ID = "0193a000-0000-7000-8000-00000000d009"
JUMP, STEPS, LISTEN_EVERY = 150, 300, 4


def main(rank: int, world: int, store: str, url: str) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=world
    )
    net = nn.Sequential(
        nn.Linear(16, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1)
    )
    model = DistributedDataParallel(net)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: 50.0 if t >= JUMP else 1.0)
    run = gradwatch.init("ranks", "jump", url=url, id=RUN_ID, launch_id="one")
    monitor = run.watch(model, optimizer, autopilot=2)
    random = torch.Generator().manual_seed(rank)
    for step in range(STEPS):
        inputs = torch.randn(32, 16, generator=random)
        loss = (model(inputs) - inputs[:, :4].sum(1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        if monitor.step(loss=loss):
            optimizer.step()
        scheduler.step()
        if step % LISTEN_EVERY == 0:
            run.flush(20.0)
    run.finish()
    weights = [float(parameter.detach().double().norm()) for parameter in model.parameters()]
    did = [(one["step"], one["action"], one["status"]) for one in run.actions]
    print(json.dumps({"weights": weights, "applied": monitor.applied, "did": did}))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4])
