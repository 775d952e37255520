"""All ranks of a job do the same, whatever each of them has heard; real processes with gloo."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from gradwatch.autopilot.order import Order, Word  # noqa: E402
from gradwatch.guard import Guard  # noqa: E402
from gradwatch.integrations import pilot  # noqa: E402
from gradwatch.integrations.ranks import Alone, Together, connect  # noqa: E402
from tests.client.conftest import OpenRun  # noqa: E402
from tests.client.memory_service import MemoryService  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(
        not torch.distributed.is_available(), reason="PyTorch was built without distributed"
    ),
]

DEADLINE_SECONDS = 200
COMMAND = [sys.executable, "-W", "ignore", "-m", "tests.client.rank_scenarios"]


def play(world: int, folder: Path, *names: str) -> list[dict[str, Any]]:
    """What the ranks report of scenarios: for each rank, name -> what came out."""
    processes = [
        subprocess.Popen(
            [*COMMAND, str(rank), str(world), str(folder / "store"), *names],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]
    try:
        outputs = [process.communicate(timeout=DEADLINE_SECONDS) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (_, errors) in zip(processes, outputs, strict=True):
        assert process.returncode == 0, errors[-3000:]
    return [json.loads(output.splitlines()[-1]) for output, _ in outputs]


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Two ranks that stay together, until the job shuts torch.distributed down."""
    names = ("one_decision", "a_return", "half_a_return", "a_long_word", "several_trainings")
    return play(2, tmp_path_factory.mktemp("together"), *names, "a_group_that_is_shut_down")


@pytest.fixture(scope="module")
def parting(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Two ranks that do not stay together."""
    names = ("a_rank_that_does_not_watch", "a_rank_that_leaves")
    return play(2, tmp_path_factory.mktemp("parting"), *names)


@pytest.fixture
def lonely(tmp_path: Path) -> Iterator[Together]:
    """The protocol of several ranks in a job of one, in this process."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
    )
    yield Together()
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def test_ranks_decide_together_after_a_monitor_was_closed(together: list[dict[str, Any]]) -> None:
    for rank in together:
        assert rank["several_trainings"]["lines"] == []


def test_a_word_of_any_length_arrives(lonely: Together) -> None:
    for length in (0, 100, 1024, 50_000):
        word = Word(Guard(max_norm=0.1), (Order("report", 3, text="x" * length),))
        assert lonely.share(word) == word


def test_votes_are_counted(lonely: Together) -> None:
    assert lonely.agree(done=True) is True
    assert lonely.agree(done=False) is False


def test_decisions_change_at_every_eighth_step(lonely: Together) -> None:
    assert [call for call in range(20) if lonely.is_turn(call)] == [0, 8, 16]
    assert all(Alone().is_turn(call) for call in range(20))


def test_who_has_left_hears_nothing_more(lonely: Together) -> None:
    lonely.leave()
    lonely.leave()
    torch.distributed.destroy_process_group()
    with pytest.raises(RuntimeError, match="shut down"):
        lonely.share(Word())


def test_one_process_needs_no_group(lonely: Together) -> None:
    del lonely
    assert isinstance(connect(), Alone)
    torch.distributed.destroy_process_group()
    assert isinstance(connect(), Alone)
    Alone().leave()


def test_a_monitor_observes_once_its_ranks_are_gone(
    lonely: Together,
    open_run: OpenRun,
    service: MemoryService,
    warnings_logged: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pilot, "connect", lambda: lonely)
    run, model = open_run(), torch.nn.Linear(4, 1)
    service.guard = {"max_norm": 1e-6, "skip_nonfinite": True, "expires_step": 10_000}
    run.event("note")
    assert run.flush(10.0)
    monitor = run.watch(model, torch.optim.SGD(model.parameters(), lr=0.1))
    for step in range(20):
        if step == 10:
            torch.distributed.destroy_process_group()
        model.zero_grad()
        model(torch.ones(2, 4)).sum().backward()
        assert monitor.step()
    run.finish()
    clipped = [not math.isnan(limit) for limit in service.scalar("clip_norm")]
    assert clipped == [True] * 16 + [False] * 4  # the next word was due at step 16
    assert warnings_logged() == [
        "gradwatch: the ranks do not decide together (torch.distributed was shut down); "
        "observing only"
    ]


def check_one_decision(first: dict[str, Any], *others: dict[str, Any]) -> None:
    assert first["told"] == [
        [16, "skip_step", "applied"],
        [16, "scale_lr", "applied"],
        [80, "skip_step", "verified"],
        [80, "scale_lr", "verified"],
    ]
    assert first["refused"] == [18, 25]
    assert first["applied"] == ["scale_lr"]
    assert first["clipped"] > 0
    for other in others:
        assert (other["told"], other["lines"]) == ([], [])
        for same in ("weights", "refused", "applied", "clipped"):
            assert other[same] == first[same]


def test_rank_0_decides_for_two(together: list[dict[str, Any]]) -> None:
    check_one_decision(*(report["one_decision"] for report in together))


def test_rank_0_decides_for_four(tmp_path: Path) -> None:
    reports = play(4, tmp_path, "one_decision")
    check_one_decision(*(report["one_decision"] for report in reports))


def test_all_ranks_go_back_to_the_same_checkpoint(together: list[dict[str, Any]]) -> None:
    first, second = (report["a_return"] for report in together)
    assert first["told"] == [[104, "rollback", "applied"]]
    assert first["refused"] == second["refused"] == [104]
    assert first["weights"] == second["weights"]


def test_if_only_some_ranks_could_go_back_all_of_them_stop(together: list[dict[str, Any]]) -> None:
    first, second = (report["half_a_return"] for report in together)
    assert first["stopped"]
    assert second["stopped"]
    assert first["told"] == [[72, "rollback", "declined"]]
    assert first["refused"] == second["refused"] == list(range(72, 90))


def test_an_order_may_be_longer_than_one_message(together: list[dict[str, Any]]) -> None:
    first, second = (report["a_long_word"] for report in together)
    assert first["told"] == [[0, "reinit_layers", "declined"], [8, "reinit_layers", "applied"]]
    assert first["weights"] == second["weights"]


def test_a_rank_that_is_watched_alone_only_observes(parting: list[dict[str, Any]]) -> None:
    first, second = (report["a_rank_that_does_not_watch"] for report in parting)
    (line,) = first["lines"]
    assert "the ranks do not decide together" in line
    assert first["clipped"] == 0
    assert first["weights"] == second["weights"]
    assert second["lines"] == []


@pytest.mark.parametrize(
    ("launch", "name"),
    [("parting", "a_rank_that_leaves"), ("together", "a_group_that_is_shut_down")],
)
def test_when_the_ranks_part_they_only_observe(
    request: pytest.FixtureRequest, launch: str, name: str
) -> None:
    first = request.getfixturevalue(launch)[0][name]
    (line,) = first["lines"]
    assert "the ranks do not decide together" in line
    assert 0 < first["clipped"] <= 24
