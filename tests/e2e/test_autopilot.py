"""The closed loop on real trainings with the real service: faults happen, and the job acts."""

from __future__ import annotations

import copy
import math
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import pytest

import gradwatch
from tests.servers import Server

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from torch import nn  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    pytest.mark.parametrize("backend", ["sqlite"], indirect=True),  # the loop is the same on any
]

FAULT, STEPS = 200, 380
LISTEN_EVERY = 4  # these nets step far faster than real ones: wait for the service as often as this
LETTERS, LENGTH, BATCH = 24, 24, 16


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Speller(nn.Module):
    """A small GRU that continues arithmetic sequences of letters."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(LETTERS, 32)
        self.rnn = nn.GRU(32, 64, batch_first=True)
        self.head = nn.Linear(64, LETTERS)

    def forward(self, letters: Any) -> Any:
        return self.head(self.rnn(self.embedding(letters))[0])


@dataclass
class Spelling:
    """One training of it; ``rate``: step -> factor of the learning rate, ``harm``: at FAULT."""

    url: str
    level: int
    rate: Callable[[int], float] = lambda _: 1.0
    harm: float = 1.0
    losses: list[float] = field(default_factory=list)
    saved: dict[int, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        torch.manual_seed(11)
        self.model = Speller()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=3e-3)
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self.rate)
        self.run = gradwatch.init("autopilot", f"level {self.level}", url=self.url)
        self.monitor = self.run.watch(
            self.model,
            self.optimizer,
            autopilot=self.level,
            save=self.save,
            load=self.load,
            save_every=70,
        )

    def save(self, step: int) -> None:
        parts = (self.model, self.optimizer, self.scheduler)
        self.saved[step] = copy.deepcopy([part.state_dict() for part in parts])

    def load(self, step: int) -> None:
        for part, state in zip(
            (self.model, self.optimizer, self.scheduler), self.saved[step], strict=True
        ):
            part.load_state_dict(copy.deepcopy(state))

    def train(self) -> Spelling:
        random = torch.Generator().manual_seed(5)
        for step in range(STEPS):
            if step == FAULT and self.harm != 1.0:
                with torch.no_grad():
                    for parameter in self.model.parameters():
                        parameter.mul_(self.harm)
            first = torch.randint(0, LETTERS, (BATCH, 1), generator=random)
            stride = torch.randint(1, 5, (BATCH, 1), generator=random)
            text = (first + stride * torch.arange(LENGTH + 1)) % LETTERS
            output = self.model(text[:, :-1]).flatten(0, 1)
            loss = nn.functional.cross_entropy(output, text[:, 1:].flatten())
            self.optimizer.zero_grad()
            loss.backward()
            if self.monitor.step(loss=loss):
                self.optimizer.step()
            self.scheduler.step()
            self.losses.append(float(loss.detach()))
            if step % LISTEN_EVERY == 0:
                assert self.run.flush(20.0)
        self.run.finish()
        return self

    def did(self, *statuses: str) -> list[str]:
        return [one["action"] for one in self.run.actions if one["status"] in statuses]


def test_a_jump_of_the_learning_rate_is_repaired_at_level_2(
    server: Server, http: httpx.Client
) -> None:
    def jump(step: int) -> float:
        return 30.0 if step >= FAULT else 1.0

    alone = Spelling(server.url, 0, jump).train()
    helped = Spelling(server.url, 2, jump).train()
    assert helped.losses[:FAULT] == alone.losses[:FAULT]
    assert alone.run.actions == []
    rates = {"cap_lr", "scale_lr", "warmup_lr"}
    assert rates & set(helped.did("applied")) & set(helped.did("verified"))
    assert median(helped.losses[-100:]) < 0.8 * median(alone.losses[-100:])
    assert helped.scheduler.get_last_lr() == [pytest.approx(0.09)]
    events = http.get(f"/runs/{helped.run.id}/series", params={"metric": "lr"}).json()
    assert max(events["values"][-100:]) < 0.03


def test_a_run_whose_weights_were_ruined_goes_back_at_level_3(server: Server) -> None:
    alone = Spelling(server.url, 2, harm=30.0).train()
    helped = Spelling(server.url, 3, harm=30.0).train()
    assert "rollback" not in alone.did("applied")
    assert median(alone.losses[-40:]) > 1.0
    (back,) = [one for one in helped.run.actions if one["action"] == "rollback"][:1]
    assert back["status"] == "applied"
    assert back["params"]["to_step"] == 70
    assert median(helped.losses[-40:]) < 0.5
    assert not helped.monitor.stopped


def test_a_healthy_run_is_left_alone_at_level_3(server: Server) -> None:
    alone = Spelling(server.url, 0).train()
    watched = Spelling(server.url, 3).train()
    assert watched.did("applied", "failed", "undone") == []
    assert median(watched.losses[-40:]) < 1.02 * median(alone.losses[-40:])
    assert len(watched.saved) > 2


def adding(url: str, level: int) -> tuple[Any, list[float], list[str]]:
    """A plain recurrent net whose learning rate doubles every 60 steps, until it explodes."""
    torch.manual_seed(1)
    rnn, head = nn.RNN(2, 40, batch_first=True), nn.Linear(40, 1)
    nn.init.normal_(rnn.weight_hh_l0, std=1.6 / math.sqrt(40))
    model = nn.ModuleList([rnn, head])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: 2.0 ** (min(t, 260) / 60))
    run = gradwatch.init("autopilot", f"adding {level}", url=url)
    monitor = run.watch(model, optimizer, autopilot=level)
    random, losses = torch.Generator().manual_seed(2), []
    for step in range(STEPS):
        values = torch.rand(20, 60, generator=random)
        marks = torch.zeros(20, 60)
        for half in (0, 30):
            marks[torch.arange(20), half + torch.randint(0, 30, (20,), generator=random)] = 1.0
        output = head(rnn(torch.stack([values, marks], 2))[0][:, -1])
        loss = (output - (values * marks).sum(1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        if monitor.step(loss=loss):
            optimizer.step()
        scheduler.step()
        losses.append(float(loss.detach()))
        if step % LISTEN_EVERY == 0:
            assert run.flush(20.0)
    run.finish()
    return model, losses, [one["action"] for one in run.actions]


def test_an_exploding_recurrent_net_survives_at_level_1(server: Server) -> None:
    ruined, losses, _ = adding(server.url, 0)
    assert not all(map(math.isfinite, losses))
    assert not all(bool(parameter.isfinite().all()) for parameter in ruined.parameters())
    survivor, losses, actions = adding(server.url, 1)
    assert all(map(math.isfinite, losses))
    assert all(bool(parameter.isfinite().all()) for parameter in survivor.parameters())
    assert set(actions) <= {"clip_grad_norm", "skip_step", "arm_guard"}


def test_the_example_of_the_docs_runs(
    server: Server, http: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "autopilot.md").read_text()
    rest = page.split("<!-- test: this runs in tests/e2e/test_autopilot.py -->", maxsplit=1)[1]
    found = re.search(r"```python\n(.*?)```", rest, flags=re.DOTALL)
    assert found is not None
    monkeypatch.setenv("GRADWATCH_URL", server.url)
    subprocess.run([sys.executable, "-c", found[1]], cwd=tmp_path, check=True, timeout=120)
    (run,) = http.get("/runs").json()["items"]
    assert (run["name"], run["state"], run["last_step"]) == ("with autopilot", "finished", 399)
    assert sorted(path.name for path in tmp_path.glob("[0-9]*.pt")) == [
        "0.pt",
        "100.pt",
        "200.pt",
        "300.pt",
    ]
