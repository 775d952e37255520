"""The loops of the docs for PyTorch, and for no framework, train and report to a real service."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from torch import nn  # noqa: E402

from tests.client.integrations import exploding_net  # noqa: E402
from tests.client.integrations.exploding_net import LAYER, Exploding, loader, net  # noqa: E402
from tests.client.integrations.explosion import (  # noqa: E402
    ON_SQLITE,
    PAGE,
    STEPS,
    assert_detected,
    documented,
    factor,
    series,
)
from tests.servers import Server  # noqa: E402

pytestmark = pytest.mark.torch

BATCHES = 8


@pytest.fixture
def job(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The names that the examples take for granted."""
    monkeypatch.setenv("GRADWATCH_URL", server.url)
    monkeypatch.setenv("GRADWATCH_AUTOPILOT", "0")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield exploding_net.job(net(), BATCHES)
    torch.set_num_threads(threads)


def play(title: str, names: dict[str, Any], http: httpx.Client) -> dict[str, Any]:
    """Run an example; the series of the global norm that arrived."""
    exec(documented(title), names)  # noqa: S102
    names["run"].finish()  # the last step is held back until its update is known, or the end
    assert names["run"].flush(20.0)
    return series(http, names["run"], "grad_norm")


@pytest.fixture
def one_rank(tmp_path: Path) -> Iterator[dict[str, str]]:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
    )
    yield {"run_id": str(uuid.uuid4()), "launch_id": "one"}
    torch.distributed.destroy_process_group()


WAYS = {  # and how many batches make an update
    "PyTorch": 1,
    "PyTorch: mixed precision": 1,
    "PyTorch: gradient accumulation": 4,
    "PyTorch: compiled models": 1,
}


@pytest.mark.usefixtures("compiling_nothing")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, in torch
@ON_SQLITE
@pytest.mark.parametrize("way", WAYS)
def test_an_explosion_is_detected_in_the_right_layer(
    way: str, job: dict[str, Any], http: httpx.Client
) -> None:
    parts = WAYS[way]
    job |= exploding_net.job(net(Exploding(16, 16, parts=parts)), STEPS * parts)
    assert play(way, job, http)["steps"] == list(range(STEPS))
    assert_detected(http, job["run"], LAYER)


@ON_SQLITE
def test_mixed_precision(job: dict[str, Any], http: httpx.Client) -> None:
    found = play("PyTorch: mixed precision", job, http)
    assert found["steps"] == list(range(BATCHES))
    assert max(found["values"]) < 1000.0  # the scale is 65,536
    assert series(http, job["run"], "loss_scale")["values"] == [65536.0] * BATCHES


@ON_SQLITE
def test_gradient_accumulation(job: dict[str, Any], http: httpx.Client) -> None:
    assert play("PyTorch: gradient accumulation", job, http)["steps"] == [0, 1]
    losses = series(http, job["run"], "loss")["values"]
    with torch.no_grad():
        parts = [float(job["loss_of"](job["model"](x), y)) for x, y in loader(BATCHES)]
    assert losses == pytest.approx([sum(parts[:4]) / 4, sum(parts[4:]) / 4], rel=0.05)


@ON_SQLITE
def test_several_processes(
    job: dict[str, Any], http: httpx.Client, one_rank: dict[str, str]
) -> None:
    job.update(one_rank)
    assert play("PyTorch: several processes", job, http)["steps"] == list(range(BATCHES))


@ON_SQLITE
def test_fsdp2(job: dict[str, Any], http: httpx.Client, one_rank: dict[str, str]) -> None:
    job.update(one_rank)
    found = play("PyTorch: FSDP2", job, http)
    assert found["steps"] == list(range(BATCHES))
    assert min(found["values"]) > 0.0


@pytest.fixture
def compiling_nothing() -> Iterator[None]:
    """Whether there is a compiler is not the question."""
    torch.compiler.set_stance("force_eager")
    yield
    torch.compiler.set_stance("default")


@pytest.mark.usefixtures("compiling_nothing")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, in torch
@ON_SQLITE
def test_compiled_models(job: dict[str, Any], http: httpx.Client) -> None:
    assert play("PyTorch: compiled models", job, http)["steps"] == list(range(BATCHES))
    assert series(http, job["run"], "grad_norm", "0.weight")["steps"] == list(range(BATCHES))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(1, 6, batch_first=True)
        self.head = nn.Linear(6, 1)

    def forward(self, inputs: Any) -> Any:
        return self.head(self.rnn(inputs[:, :, None])[0][:, -1])


@ON_SQLITE
def test_on_request(job: dict[str, Any], http: httpx.Client) -> None:
    job |= exploding_net.job(Recurrent(), BATCHES)
    assert play("PyTorch: on request", job, http)["steps"] == list(range(BATCHES))
    profile = http.get(f"/runs/{job['run'].id}/profile", params={"axis": "time"}).json()
    assert len(profile["points"]) == 8
    for metric in ("grad_zero", "act_grad_norm", "bias_grad_norm"):
        found = series(http, job["run"], metric, "head.weight")
        assert all(map(math.isfinite, found["values"]))


@ON_SQLITE
def test_anything_else(job: dict[str, Any], http: httpx.Client) -> None:
    job["training"] = [(1.0, {"a": 3.0, "b": 4.0})] * 3
    found = play("Anything else", job, http)
    assert (found["steps"], found["values"]) == ([0, 1, 2], [5.0, 5.0, 5.0])


def by_hand() -> Iterator[tuple[float, dict[str, float]]]:
    """A net of two layers without any framework; the first one's gradient explodes."""
    random = np.random.default_rng(1)
    first, second = random.normal(0.0, 0.3, (8, 16)), random.normal(0.0, 0.3, (16, 1))
    for step in range(STEPS):
        inputs = random.normal(size=(16, 8))
        hidden = np.tanh(inputs @ first)
        error = hidden @ second - inputs.sum(1, keepdims=True)
        back = (error @ second.T) * (1.0 - hidden**2)
        gradients = {
            "first": inputs.T @ back / 16.0 * factor(step), "second": hidden.T @ error / 16.0
        }  # fmt: skip
        yield (
            float((error**2).mean()),
            {name: float(np.linalg.norm(gradient)) for name, gradient in gradients.items()},
        )
        first -= 1e-4 * gradients["first"]
        second -= 1e-4 * gradients["second"]


@ON_SQLITE
def test_an_explosion_without_a_framework_is_detected_in_the_right_layer(
    job: dict[str, Any], http: httpx.Client
) -> None:
    job["training"] = by_hand()
    assert play("Anything else", job, http)["steps"] == list(range(STEPS))
    assert_detected(http, job["run"], "first")


def test_every_example_is_played_by_a_test() -> None:
    titles = [
        line.removeprefix("## ") for line in PAGE.read_text().splitlines() if line.startswith("## ")
    ]
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("*.py"))
    assert len(titles) > 10
    assert [title for title in titles if f'"{title}"' not in tests] == []
