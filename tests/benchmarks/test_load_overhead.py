"""W4 on tiny models that really train: every watcher is measured, and its reports arrive."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator

import httpx
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from benchmarks.load.overhead import apart, receiver, table  # noqa: E402
from benchmarks.load.overhead.__main__ import rows  # noqa: E402
from benchmarks.load.overhead.blocks import Samples, step  # noqa: E402
from benchmarks.load.overhead.estimate import Overhead, overhead, share  # noqa: E402
from benchmarks.load.overhead.jobs import Sizes, job  # noqa: E402
from benchmarks.load.overhead.log_calls import seconds_of_calls  # noqa: E402
from benchmarks.load.overhead.watchers import WATCHERS, Watching  # noqa: E402

from tests.servers import Server  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.sqlite_in_brief]

TINY = {
    "transformer": Sizes(width=16, layers=2, heads=2, batch=4, length=12, vocabulary=32),
    "lstm": Sizes(width=16, layers=2, batch=4, length=12, vocabulary=32),
}
NOT_PEERS = [one for one in WATCHERS if not one.is_peer]
ROUNDS, STEPS, OURS = 3, 4, 4


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("model", TINY)
def test_every_watcher_has_its_block_in_every_round_and_its_reports_are_stored(
    server: Server, http: httpx.Client, model: str
) -> None:
    args = argparse.Namespace(device="cpu", rounds=ROUNDS, steps=STEPS)

    found = list(rows(model, TINY[model], NOT_PEERS, server.url, args))

    assert [row.watcher for row in found] == [watcher.name for watcher in NOT_PEERS]
    for row in found:
        assert len(row.watched.wall) == len(row.watched.cpu) == len(row.bare.wall) == ROUNDS
        assert all(
            0 < call < wall for call, wall in zip(row.watched.call, row.watched.wall, strict=True)
        )
        assert row.synchronisations is None
        assert f"W4  {model}" in table.line(row)
    runs = http.get("/runs", params={"project": "overhead"}).json()["items"]
    assert [run["last_step"] for run in runs] == [(1 + ROUNDS) * STEPS - 1] * OURS


@pytest.mark.parametrize("model", TINY)
def test_the_models_learn(model: str) -> None:
    one = job(model, TINY[model], torch.device("cpu"))
    losses: list[float] = []

    def note(loss: torch.Tensor) -> bool:
        losses.append(loss.item())
        return True

    for _ in range(200):
        step(one, Watching(note))

    assert np.mean(losses[-20:]) < 0.95 * np.mean(losses[:20])


def test_a_watcher_may_refuse_an_update() -> None:
    one = job("lstm", TINY["lstm"], torch.device("cpu"))
    before = [parameter.detach().clone() for parameter in one.parameters]

    step(one, Watching(lambda _: False))

    assert all(map(torch.equal, one.parameters, before))


def test_the_stand_in_acknowledges_what_is_logged() -> None:
    with receiver.receiving(receiver.STAND_IN) as url:
        assert len(seconds_of_calls(url, calls=20)) == 20
        answer = httpx.put(f"{url}/anything", content=b"x", trust_env=False)

    assert (answer.status_code, answer.json()) == (201, {"guard": receiver.GUARD})


def test_the_overhead_is_found_however_the_speed_of_the_machine_changes() -> None:
    rng = np.random.default_rng(3)
    load = np.exp(rng.normal(0.0, 0.5, 60))  # what both blocks of a round suffer
    bare = load * rng.normal(1.0, 0.01, 60)
    watched = 1.05 * load * rng.normal(1.0, 0.01, 60)

    found = overhead(list(watched), list(bare))

    assert found.low < 0.05 < found.high
    assert found.low < found.ratio < found.high
    assert found.high - found.low < 0.02
    assert overhead([2.0, 8.0], [1.0, 4.0]) == Overhead(1.0, 1.0, 1.0)
    assert share([0.5, 2.0], [1.0, 4.0]) == Overhead(0.5, 0.5, 0.5)


def test_added_synchronisations_are_shown_where_they_were_counted() -> None:
    samples = Samples([1.0], [1.0], [0.5], [0.5])

    assert " +2.0 " in table.line(table.Row("lstm", "x", "all", samples, samples, 2.0))


def test_neither_the_service_nor_other_workloads_are_needed() -> None:
    code = (
        "import sys, benchmarks.load.overhead.__main__, benchmarks.load.overhead.memory\n"
        "bad = {'gradwatch_service', 'fastapi', 'sqlalchemy', 'wandb', 'tensorboard'}\n"
        "print(sorted(bad & {name.partition('.')[0] for name in sys.modules}))"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert shown.stdout == "[]\n"


def test_without_pytorch_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "find_spec", lambda _: None)

    assert list(apart.lines(None, peers=True)) == ["W4  skipped (pip install torch)"]
