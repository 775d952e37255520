"""What the user asks for is measured: compared with torch's own gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from torch import nn  # noqa: E402

from gradwatch.integrations import pytorch  # noqa: E402
from gradwatch.integrations.module_tree import describe  # noqa: E402
from tests.client.conftest import OpenRun  # noqa: E402
from tests.client.memory_service import MemoryService  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture(autouse=True, params=[(), ("cpu",)], ids=["at once", "a step later"])
def read_later(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pytorch, "READ_LATER", request.param)
    torch.manual_seed(7)


def profiles(service: MemoryService) -> list[list[float]]:
    frames = [item.frame for item in service.stored]
    return [row.tolist() for frame in frames for row in frame.profiles.get("time", ())]


class Steps(nn.Module):
    """A recurrent net whose states can be looked at; ``fused`` or a cell."""

    def __init__(self, cell: Any) -> None:
        super().__init__()
        self.cell = cell
        self.head = nn.Linear(5, 1)
        self.states: list[Any] = []

    def forward(self, inputs: Any) -> Any:
        state: Any = None
        self.states = []
        for time in range(inputs.shape[1]):
            state = self.cell(inputs[:, time], state)
            self.states.append(state[0] if isinstance(state, tuple) else state)
            if self.training:
                self.states[-1].retain_grad()
        return self.head(self.states[-1])


@pytest.mark.parametrize("kind", [nn.RNNCell, nn.GRUCell, nn.LSTMCell])
def test_a_cell_shows_the_gradient_of_its_states(
    open_run: OpenRun, service: MemoryService, kind: Any
) -> None:
    run, model = open_run(), Steps(kind(3, 5))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = run.watch(model, optimizer, through_time=model.cell)
    wanted = []
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.randn(4, 7, 3)).square().mean().backward()
        wanted.append([float(state.grad.norm()) for state in model.states])
        monitor.step()
        model.eval()
        model(torch.randn(4, 3, 3))
        model.train()
    run.finish()
    np.testing.assert_allclose(profiles(service), wanted, rtol=1e-5)


def test_what_is_heard_in_a_scaled_backward_is_unscaled(
    open_run: OpenRun, service: MemoryService
) -> None:
    run, model = open_run(), Steps(nn.RNNCell(3, 5))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=1)
    monitor = run.watch(
        model, optimizer, scaler=scaler, through_time=model.cell, statistics=["act_grad_norm"]
    )
    heads, wanted = [], []
    for _ in range(3):
        optimizer.zero_grad()
        output = model(torch.randn(4, 7, 3))
        output.retain_grad()
        loss, scale = output.square().mean(), scaler.get_scale()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        wanted.append([float(state.grad.norm()) / scale for state in model.states])
        heads.append(float(output.grad.norm()) / scale)
        monitor.step(loss=loss)
        scaler.step(optimizer)
        scaler.update()
    run.finish()
    assert scaler.get_scale() == 8 * 1024.0
    np.testing.assert_allclose(profiles(service), wanted, rtol=1e-5)
    columns = [item.layer.name for item in describe(model)]
    acts = [row[columns.index("head.weight")] for row in service.stat("act_grad_norm")]
    np.testing.assert_allclose(acts, heads, rtol=1e-5)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("learns_inputs", [True, False])
def test_a_fused_module_shows_the_gradient_of_its_inputs(
    open_run: OpenRun,
    service: MemoryService,
    *,
    batch_first: bool,
    learns_inputs: bool,
    named: bool,
) -> None:
    run, rnn = open_run(), nn.LSTM(3, 5, batch_first=batch_first)
    before = nn.Linear(3, 3) if learns_inputs else nn.Identity()
    model = nn.ModuleList([before, rnn])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = run.watch(model, optimizer, through_time=rnn)
    inputs = torch.randn((4, 7, 3) if batch_first else (7, 4, 3))
    given = before(inputs)
    (rnn(input=given) if named else rnn(given))[0].square().mean().backward()
    monitor.step()
    own = before(inputs).detach().requires_grad_()
    rnn.eval()
    rnn(own)[0].square().mean().backward()
    run.finish()
    axes = (0, 2) if batch_first else (1, 2)
    wanted = own.grad.square().sum(axes).sqrt()
    np.testing.assert_allclose(profiles(service), [wanted.tolist()], rtol=1e-5)


def test_statistics_come_if_they_are_asked_for(
    open_run: OpenRun, service: MemoryService, warnings_logged: Callable[[], list[str]]
) -> None:
    run = open_run()
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(inplace=True), nn.Linear(8, 1))
    with torch.no_grad():
        model[0].weight[:2] = 0.0
        model[0].bias[:2] = -1.0  # two units are dead
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    names = ["grad_zero", "act_grad_norm", "bias_grad_norm"]
    monitor = run.watch(model, optimizer, statistics=names)
    hidden = model[0](torch.randn(16, 6))
    hidden.retain_grad()
    output = model[2](model[1](hidden.clone()))
    output.retain_grad()
    output.square().mean().backward()
    monitor.step()
    run.finish()
    zero = [float((one.grad == 0).float().mean()) for one in model.parameters()]
    np.testing.assert_allclose(service.stat("grad_zero"), [zero], rtol=1e-6)
    assert zero[0] >= 0.25
    acts = service.stat("act_grad_norm")[0]
    wanted = [float(hidden.grad.norm()), float(output.grad.norm())]
    np.testing.assert_allclose([acts[0], acts[2]], wanted, rtol=1e-5)
    assert np.isnan([acts[1], acts[3]]).all()
    (biases,), (norms,) = service.stat("bias_grad_norm"), service.stat("grad_norm")
    assert [biases[0], biases[2]] == [norms[1], norms[3]]
    assert np.isnan([biases[1], biases[3]]).all()
    assert warnings_logged() == []


def test_nothing_else_is_measured_unless_it_is_asked_for(
    open_run: OpenRun, service: MemoryService, warnings_logged: Callable[[], list[str]]
) -> None:
    run, model = open_run(), nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = run.watch(model, optimizer, statistics=["median"], through_time=7)
    model(torch.randn(4, 3)).sum().backward()
    monitor.step()
    run.finish()
    assert {name for item in service.stored for name in item.frame.layers} == {
        "grad_norm",
        "weight_norm",
    }
    assert profiles(service) == []
    assert any("statistics" in line and "through_time" in line for line in warnings_logged())


@pytest.mark.parametrize("fused", [True, False])
def test_a_closed_monitor_leaves_nothing_in_the_model(
    open_run: OpenRun, service: MemoryService, *, fused: bool
) -> None:
    run = open_run()
    model = nn.ModuleList([nn.LSTM(3, 5) if fused else nn.LSTMCell(3, 5), nn.Linear(5, 1)])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = run.watch(
        model, optimizer, through_time=model[0], statistics=["act_grad_norm"], autopilot=2
    )
    assert hooks(model) == 3
    for _ in range(2):
        model[1](model[0](torch.randn(4, 3))[0]).sum().backward()
        assert monitor.step()
        monitor.close()
    assert hooks(model) == 0
    assert run.flush()
    assert service.steps == [0]
    assert run._watchers == []


def hooks(model: Any) -> int:
    """How many functions are called in a forward pass."""
    return sum(len(one._forward_hooks) + len(one._forward_pre_hooks) for one in model.modules())
