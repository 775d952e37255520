"""A PyTorch model watched with three added lines, while the server goes away and comes back."""

from __future__ import annotations

import httpx
import pytest

import gradwatch
from tests.servers import Server

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.torch

STEPS = 90
STOPPED_AT, STARTED_AT = 30, 60


def test_training_goes_on_and_everything_arrives_exactly_once(server: Server, http: httpx.Client):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    inputs = torch.randn(64, 8)
    targets = inputs.sum(dim=1, keepdim=True)
    losses = []

    run = gradwatch.init(project="outage", name="mlp", url=server.url)
    monitor = run.watch(model, optimizer)
    for step in range(STEPS):
        if step == STOPPED_AT:
            assert run.flush(timeout_seconds=20)
            assert server.stop() == 0
        if step == STARTED_AT:
            server.start()
        loss = torch.nn.functional.mse_loss(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        losses.append(loss.item())
        if monitor.step(loss=loss):
            optimizer.step()
    run.finish()

    assert run.flush(timeout_seconds=30)
    assert run.counts.stored == run.counts.observed == STEPS
    found = http.get(f"/runs/{run.id}/series", params={"metric": "loss"}).json()
    assert found["steps"] == list(range(STEPS))
    assert found["values"] == losses
    assert losses[-1] < losses[0] / 2
    for name, _ in model.named_parameters():
        wanted = {"metric": "grad_norm", "layer": name}
        found = http.get(f"/runs/{run.id}/series", params=wanted).json()
        assert found["steps"] == list(range(STEPS))
    stored = http.get(f"/runs/{run.id}").json()
    assert (stored["state"], stored["degraded"]) == ("finished", None)
    assert len(stored["attempts"]) == 1
