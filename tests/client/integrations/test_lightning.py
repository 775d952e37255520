"""Lightning trains a real model with the lines of the docs, on a real service."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
lightning = pytest.importorskip("pytorch_lightning", reason="Lightning is not installed")

from torch import nn  # noqa: E402

import gradwatch  # noqa: E402
from gradwatch.integrations.lightning import GradwatchCallback  # noqa: E402
from tests.client.autopilot.service_says import advice, alert  # noqa: E402
from tests.client.conftest import OpenRun  # noqa: E402
from tests.client.integrations.explosion import (  # noqa: E402
    ON_SQLITE,
    STEPS,
    assert_detected,
    documented,
    factor,
    numbers,
)
from tests.client.memory_service import MemoryService  # noqa: E402
from tests.client.test_pytorch import armed  # noqa: E402
from tests.servers import Server  # noqa: E402

pytestmark = [
    pytest.mark.frameworks,
    pytest.mark.filterwarnings("ignore"),  # of the framework
]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.manual_seed(7)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Regression(lightning.LightningModule):
    """Adds its inputs up; ``explodes``: as the fault says."""

    def __init__(self, *, explodes: bool = False, rate: float = 0.05) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1)
        )
        self.rate = rate
        self.losses: list[float] = []
        if explodes:
            self.layers[2].weight.register_hook(lambda grad: grad * factor(self.global_step))

    def training_step(self, batch: Any) -> Any:
        (inputs,) = batch
        loss = (self.layers(inputs) - inputs.sum(1, keepdim=True)).square().mean()
        self.losses.append(float(loss.detach()))
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.rate, momentum=0.9)


def loader(batches: int) -> Any:
    data = torch.randn(batches * 16, 8, generator=torch.Generator().manual_seed(1))
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(data), batch_size=16)


def trainer(callback: Any, folder: Path, **options: Any) -> Any:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return lightning.Trainer(
        accelerator="cpu",
        max_epochs=1,
        enable_checkpointing=False,
        default_root_dir=folder,
        callbacks=[callback],
        **quiet | options,
    )


@ON_SQLITE
def test_the_lines_of_the_docs_detect_an_explosion_in_the_right_layer(
    server: Server, http: httpx.Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GRADWATCH_URL", server.url)
    monkeypatch.setenv("GRADWATCH_AUTOPILOT", "0")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"model": Regression(explodes=True, rate=1e-5), "loader": loader(STEPS)}
    exec(documented("Lightning"), names)  # noqa: S102
    assert_detected(http, names["run"])
    names["run"].finish()


def norms_before_clipping(model: Regression, batches: Any, limit: float) -> list[float]:
    """The same training as a plain loop."""
    optimizer = model.configure_optimizers()
    found = []
    for inputs in batches:
        optimizer.zero_grad()
        model.training_step([inputs]).backward()
        found.append(float(nn.utils.clip_grad_norm_(model.parameters(), limit)))
        optimizer.step()
    return found


def test_norms_are_those_before_lightning_clips(
    open_run: OpenRun, service: MemoryService, tmp_path: Path
) -> None:
    torch.manual_seed(3)
    model, run = Regression(), open_run()
    torch.manual_seed(3)
    alone = Regression()
    options = {"gradient_clip_val": 0.5, "accumulate_grad_batches": 2}
    trainer(GradwatchCallback(run), tmp_path, **options).fit(model, loader(20))
    pairs = [batch for (batch,) in torch.utils.data.DataLoader(loader(20).dataset, batch_size=32)]
    wanted = norms_before_clipping(alone, pairs, 0.5)
    assert max(wanted) > 1.0
    assert numbers(service, run, "grad_norm") == pytest.approx(wanted, rel=1e-4)
    assert numbers(service, run, "loss") == pytest.approx(alone.losses, rel=1e-4)
    assert numbers(service, run, "clip_norm") == [0.5] * 10
    after = [float(p.norm()) for p in model.parameters()]
    assert after == pytest.approx([float(p.norm()) for p in alone.parameters()], rel=1e-4)


def test_the_guard_leaves_updates_out(
    open_run: OpenRun, service: MemoryService, tmp_path: Path
) -> None:
    run, model = open_run(), Regression()
    armed(run, service, skip_above=1e-9)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    one = trainer(GradwatchCallback(run), tmp_path)
    one.fit(model, loader(4))
    assert one.global_step == 4
    assert all(map(torch.equal, before, model.parameters()))
    assert not one.optimizers[0].state
    assert numbers(service, run, "skipped") == [1.0] * 4


def test_the_guard_clips(open_run: OpenRun, service: MemoryService, tmp_path: Path) -> None:
    run, model = open_run(), Regression(rate=1.0)
    armed(run, service, max_norm=1e-6)
    before = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    trainer(GradwatchCallback(run), tmp_path, gradient_clip_val=0.5).fit(model, loader(1))
    after = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    assert 0.0 < float((after - before).norm()) < 1.5e-6
    assert numbers(service, run, "clip_norm") == [pytest.approx(1e-6)]


def test_a_loss_scale_is_taken_out(
    open_run: OpenRun, service: MemoryService, tmp_path: Path
) -> None:
    from pytorch_lightning.plugins import MixedPrecision  # noqa: PLC0415

    run, model = open_run(), Regression()
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    plugin = MixedPrecision("16-mixed", "cpu", scaler=scaler)
    trainer(GradwatchCallback(run), tmp_path, plugins=plugin).fit(model, loader(3))
    assert numbers(service, run, "loss") == pytest.approx(model.losses, rel=1e-3)
    assert numbers(service, run, "loss_scale") == [1024.0] * 3
    assert max(numbers(service, run, "grad_norm")) < 100.0


def test_a_second_fit_is_watched_after_the_first(
    open_run: OpenRun, service: MemoryService, tmp_path: Path
) -> None:
    run, model = open_run(), Regression()
    callback = GradwatchCallback(run)
    for _ in range(2):
        trainer(callback, tmp_path).fit(model, loader(3))
        assert run._watchers == []
    run.finish()
    assert service.steps == [0, 1, 2, 3, 4, 5]
    assert numbers(service, run, "loss") == pytest.approx(model.losses)


def test_a_fit_after_an_interrupted_one_is_watched(
    open_run: OpenRun, service: MemoryService, tmp_path: Path
) -> None:
    class Failing(Regression):
        def on_after_backward(self) -> None:
            if len(self.losses) == 2:
                raise ArithmeticError

    run, first, second = open_run(), Failing(), Regression()
    callback = GradwatchCallback(run)
    with pytest.raises(ArithmeticError):
        trainer(callback, tmp_path).fit(first, loader(3))
    trainer(callback, tmp_path).fit(second, loader(3))
    run.finish()
    assert service.steps == [0, 1, 2, 3]
    assert numbers(service, run, "loss") == pytest.approx(first.losses[:1] + second.losses)


class Adversaries(Regression):
    """Trains two parts in turn, each with an optimizer and a loss of its own."""

    automatic_optimization = False

    def training_step(self, batch: Any) -> Any:
        (inputs,) = batch
        for place, optimizer in enumerate(self.optimizers()):
            loss = self.layers(inputs).square().mean() + 100.0 * place
            self.losses.append(float(loss.detach()))
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()

    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(self.layers[i].parameters(), lr=0.05) for i in (0, 4)]


def test_the_loss_of_another_optimizer_is_not_added(
    open_run: OpenRun, service: MemoryService, tmp_path: Path
) -> None:
    run, model = open_run(), Adversaries()
    trainer(GradwatchCallback(run), tmp_path).fit(model, loader(3))
    assert numbers(service, run, "loss") == pytest.approx(model.losses[::2])


def test_a_switched_off_run_is_no_hindrance(tmp_path: Path) -> None:
    model = Regression()
    run = gradwatch.init(project="lm", mode="disabled")
    trainer(GradwatchCallback(run), tmp_path).fit(model, loader(3))
    assert all(map(math.isfinite, model.losses))


def test_the_rate_held_away_from_the_schedule_is_reported_once(
    open_run: OpenRun, service: MemoryService, tmp_path: Path
) -> None:
    """Lightning calls from inside ``optimizer.step()``, where the held rate is in place."""
    run, model = open_run(), Regression(rate=0.01)
    callback = GradwatchCallback(run, autopilot=2)
    service.advice, service.alerts = [advice("scale_lr", params={"factor": 0.5})], [alert()]
    service.health = "critical"
    armed(run, service)
    trainer(callback, tmp_path).fit(model, loader(6))
    run.finish()
    assert {action["action"] for action in run.actions} == {"scale_lr"}
    assert numbers(service, run, "lr") == [pytest.approx(0.005)] * 6
