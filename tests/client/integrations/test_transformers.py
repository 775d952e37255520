"""The Trainer of Hugging Face trains a real model with the lines of the docs, on a real service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")

from torch import nn  # noqa: E402

from gradwatch.integrations.transformers import GradwatchCallback  # noqa: E402
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
    torch.manual_seed(7)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Regression(nn.Module):
    """Adds its inputs up; ``explodes``: as the fault says."""

    def __init__(self, *, explodes: bool = False) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1)
        )
        self.losses: list[float] = []
        if explodes:
            self.layers[2].weight.register_hook(lambda grad: grad * factor(len(self.losses)))

    def forward(self, inputs: Any, labels: Any) -> dict[str, Any]:
        loss = (self.layers(inputs) - labels).square().mean()
        self.losses.append(float(loss.detach()))
        return {"loss": loss}


class Summing(Regression):
    """Divides by the number of all items of an update, as language models do."""

    def forward(self, inputs: Any, labels: Any, num_items_in_batch: Any = None) -> dict[str, Any]:
        loss = (self.layers(inputs) - labels).square().sum()
        return {"loss": loss / (len(inputs) if num_items_in_batch is None else num_items_in_batch)}


def examples(count: int) -> list[dict[str, Any]]:
    data = torch.randn(count, 8, generator=torch.Generator().manual_seed(1))
    return [{"inputs": row, "labels": row.sum(0, keepdim=True)} for row in data]


def arguments(folder: Path, **options: Any) -> Any:
    usual: dict[str, Any] = {
        "use_cpu": True,
        "report_to": [],
        "save_strategy": "no",
        "logging_strategy": "no",
        "disable_tqdm": True,
        "per_device_train_batch_size": 16,
        "num_train_epochs": 1,
        "learning_rate": 0.05,
        "lr_scheduler_type": "constant",
        "optim": "sgd",
    }
    return transformers.TrainingArguments(str(folder), **usual | options)


def train(callback: Any, model: Any, count: int, folder: Path, **options: Any) -> Any:
    trainer = transformers.Trainer(
        model, arguments(folder, **options), train_dataset=examples(count), callbacks=[callback]
    )
    trainer.train()
    return trainer


@ON_SQLITE
def test_the_lines_of_the_docs_detect_an_explosion_in_the_right_layer(
    server: Server, http: httpx.Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GRADWATCH_URL", server.url)
    monkeypatch.setenv("GRADWATCH_AUTOPILOT", "0")
    names: dict[str, Any] = {
        "model": Regression(explodes=True),
        "args": arguments(tmp_path, learning_rate=1e-4),
        "dataset": examples(STEPS * 16),
    }
    exec(documented("Hugging Face"), names)  # noqa: S102
    assert_detected(http, names["run"])
    names["run"].finish()


def test_norms_are_those_before_the_gradient_is_clipped(
    open_run: OpenRun, service: MemoryService, tmp_path: Path
) -> None:
    alone, watched, run = Regression(), Regression(), open_run()
    watched.load_state_dict(alone.state_dict())
    options = {"max_grad_norm": 0.5, "gradient_accumulation_steps": 2, "logging_strategy": "steps"}
    steps = {**options, "logging_steps": 1}
    wanted = train(transformers.TrainerCallback(), alone, 160, tmp_path, **steps)
    got = train(GradwatchCallback(run), watched, 160, tmp_path, **steps)
    logged = [line["grad_norm"] for line in wanted.state.log_history if "grad_norm" in line]
    assert max(logged) > 1.0
    assert [line.get("grad_norm") for line in got.state.log_history] == [
        line.get("grad_norm") for line in wanted.state.log_history
    ]
    assert numbers(service, run, "grad_norm") == pytest.approx(logged, rel=1e-4)
    losses = torch.tensor(alone.losses).view(-1, 2).mean(1).tolist()
    assert numbers(service, run, "loss") == pytest.approx(losses, rel=1e-5)
    assert numbers(service, run, "clip_norm") == [0.5] * 5
    assert all(map(torch.equal, alone.parameters(), watched.parameters()))
    assert got.args.max_grad_norm == 0.5


class Twice(transformers.TrainerCallback):
    """Begins every step once more, as if the one before had been abandoned."""

    def __init__(self, callback: GradwatchCallback) -> None:
        self.callback = callback

    def on_step_begin(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        self.callback.on_step_begin(args, state, control, **parts)


def test_an_abandoned_step_does_not_turn_clipping_off(
    open_run: OpenRun, service: MemoryService, tmp_path: Path
) -> None:
    run = open_run()
    callback = GradwatchCallback(run)
    options = arguments(tmp_path, max_grad_norm=0.5)
    data = examples(48)
    transformers.Trainer(
        Regression(), options, train_dataset=data, callbacks=[callback, Twice(callback)]
    ).train()
    assert numbers(service, run, "clip_norm") == [0.5] * 3
    assert options.max_grad_norm == 0.5


class Interrupted(Regression):
    """Fails once, in the middle of a step."""

    failed = False

    def forward(self, inputs: Any, labels: Any) -> dict[str, Any]:
        if not self.failed:
            self.failed = True
            raise KeyboardInterrupt
        return super().forward(inputs, labels)


def test_clipping_goes_on_after_an_interrupted_training(
    open_run: OpenRun, service: MemoryService, tmp_path: Path
) -> None:
    run = open_run()
    options = arguments(tmp_path, max_grad_norm=0.5)
    trainer = transformers.Trainer(
        Interrupted(), options, train_dataset=examples(48), callbacks=[GradwatchCallback(run)]
    )
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    trainer.train()
    assert numbers(service, run, "clip_norm") == [0.5] * 3
    assert options.max_grad_norm == 0.5


def test_losses_that_are_parts_of_a_sum_are_added(
    open_run: OpenRun, service: MemoryService, tmp_path: Path
) -> None:
    run, model = open_run(), Summing()
    options = {"gradient_accumulation_steps": 2, "logging_strategy": "steps", "logging_steps": 1}
    trainer = train(GradwatchCallback(run), model, 96, tmp_path, **options)
    logged = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    assert numbers(service, run, "loss") == pytest.approx(logged, rel=1e-3)


def test_the_guard_leaves_updates_out(
    open_run: OpenRun, service: MemoryService, tmp_path: Path
) -> None:
    run, model = open_run(), Regression()
    armed(run, service, skip_above=1e-9)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    trainer = train(GradwatchCallback(run), model, 64, tmp_path, optim="adamw_torch")
    assert trainer.state.global_step == 4
    assert all(map(torch.equal, before, model.parameters()))
    assert numbers(service, run, "skipped") == [1.0] * 4


def test_the_guard_clips(open_run: OpenRun, service: MemoryService, tmp_path: Path) -> None:
    run, model = open_run(), Regression()
    armed(run, service, max_norm=1e-6)
    before = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    train(GradwatchCallback(run), model, 16, tmp_path, learning_rate=1.0)
    after = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    assert 0.0 < float((after - before).norm()) < 1.5e-6
    assert numbers(service, run, "clip_norm") == [pytest.approx(1e-6)]


@pytest.mark.parametrize("returns_loss", [True, False])
def test_a_model_may_return_a_tuple(
    open_run: OpenRun, service: MemoryService, tmp_path: Path, *, returns_loss: bool
) -> None:
    class Tuple(Regression):
        def forward(self, inputs: Any, labels: Any) -> Any:
            loss = super().forward(inputs, labels)["loss"]
            return (loss,) if returns_loss else (loss[None], self.layers(inputs))

    class Mean(transformers.Trainer):
        def compute_loss(self, model: Any, inputs: Any, **_: Any) -> Any:
            return model(**inputs)[0].mean()

    run, model = open_run(), Tuple()
    callback = GradwatchCallback(run)
    Mean(model, arguments(tmp_path), train_dataset=examples(32), callbacks=[callback]).train()
    assert numbers(service, run, "loss")[:1] == pytest.approx(model.losses[:1])
    run.finish()
    assert service.steps == [0, 1]
