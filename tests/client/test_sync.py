from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from gradwatch import cli
from gradwatch.config import Config
from gradwatch.launch import Launch
from gradwatch.run import Run
from gradwatch.spool import folder
from tests.client.conftest import FAST
from tests.client.memory_service import MemoryService, problem
from tests.client.orphans import orphan

RUN = "01935b2e-7a4c-7000-8000-000000000001"
NEXT = "01935b2e-7a4c-7000-8000-000000000002"
REFUSED = httpx.ConnectError("refused")

Sync = Callable[..., tuple[int, list[str], list[str]]]


@pytest.fixture
def sync(service: MemoryService, capsys: pytest.CaptureFixture[str]) -> Sync:
    """Run the command against the service in memory: exit code, output, complaints."""

    def run(*arguments: str, **settings: Any) -> tuple[int, list[str], list[str]]:
        config = Config(**(FAST | settings))
        code = cli.main(["sync", *arguments], settings=config, http=service.transport)
        said = capsys.readouterr()
        return code, said.out.splitlines(), said.err.splitlines()

    return run


def recorded(
    run_id: str = RUN, steps: int = 20, *, ended: bool = True, launch: str = "l1", **settings: Any
) -> Run:
    """A run whose reports have gone to disk; unless it has ended its job seems to go on."""
    config = Config(**(FAST | {"mode": "offline"} | settings))
    run = Run(Launch(run_id, "lm", launch, name="small"), config)
    for step in range(steps):
        run.log(step, loss=1.0, layers={"fc": {"grad_norm": 1.0}})
    assert run.flush(10.0)
    if ended:
        run.finish()
    return run


def aged(spool: Path) -> None:
    for path in folder.files(spool):
        os.utime(path, (1_000_000, 1_000_000))


def test_what_was_recorded_offline_is_sent_and_its_file_removed(
    service: MemoryService, sync: Sync, spool: Path
) -> None:
    recorded()
    code, (what, became), err = sync()
    assert (code, err) == (0, [])
    assert what.startswith(f"project lm, run {RUN} (small): 20 reports (")
    assert what.endswith("written 0 s ago")
    assert became == "    20 stored"
    assert service.steps == list(range(20))
    assert service.runs[RUN]["launch_id"] == "l1"
    assert service.ended == {RUN: {"state": "finished"}}
    assert list(spool.iterdir()) == []
    assert sync() == (0, [f"nothing waits in {spool}"], [])


def test_a_dry_run_sends_nothing(service: MemoryService, sync: Sync) -> None:
    recorded()
    code, lines, _ = sync("--dry-run")
    assert (code, lines[1]) == (0, "    would be sent to http://127.0.0.1:8321")
    assert service.requests == []
    assert sync()[1][1] == "    20 stored"


def test_a_job_that_may_go_on_is_left_unless_it_is_named(
    service: MemoryService, sync: Sync, spool: Path
) -> None:
    run = recorded(ended=False)
    (path,) = folder.files(spool)
    code, lines, _ = sync()
    assert code == 0
    assert lines[1] == f"    left: its job may go on; `gradwatch sync {path}` sends it all the same"
    assert service.stored == []
    code, lines, _ = sync(RUN[:13])
    assert (code, lines[1]) == (0, "    20 stored; the file stays, as its job may go on")
    assert service.steps == list(range(20))
    run.log(20, loss=1.0)
    run.finish()
    assert sync()[0] == 0
    assert service.steps == list(range(21))
    assert folder.files(spool) == []


def test_a_killed_job_is_delivered_once_nobody_has_touched_its_file_for_long(
    service: MemoryService, sync: Sync, spool: Path
) -> None:
    run = recorded(ended=False)
    aged(spool)
    assert sync()[0] == 0
    assert service.steps == list(range(20))
    assert service.ended == {}
    run.finish()


def test_a_file_or_folder_may_be_named_too(service: MemoryService, sync: Sync, spool: Path) -> None:
    recorded()
    recorded(NEXT)
    elsewhere = spool.rename(spool.with_name("copied"))
    first, second = folder.files(elsewhere)
    assert sync(str(first))[1][1] == "    20 stored"
    assert sync(str(second.parent))[1][1] == "    20 stored"
    assert set(service.runs) == {RUN, NEXT}
    assert folder.files(elsewhere) == []


def test_what_is_not_there_is_said(sync: Sync, spool: Path) -> None:
    recorded()
    code, _, err = sync("0199")
    assert code == 1
    assert err == [
        "gradwatch: nothing waits under '0199': "
        f"`gradwatch sync --dry-run` lists what does, in {spool}"
    ]


def test_what_is_meant_for_another_service_needs_its_name(
    service: MemoryService, sync: Sync
) -> None:
    orphan(RUN, url="http://127.0.0.1:9")
    code, lines, _ = sync()
    assert (code, service.stored) == (0, [])
    assert lines[1] == (
        "    left: it is meant for http://127.0.0.1:9; set GRADWATCH_URL to that, or name the run"
    )
    assert sync(RUN)[0] == 0
    assert len(service.steps) == 2


def test_a_service_that_is_away_costs_nothing(
    service: MemoryService, sync: Sync, spool: Path
) -> None:
    recorded()
    recorded(NEXT)
    service.faults.extend([REFUSED] * 50)
    code, lines, err = sync()
    assert code == 1
    assert lines[1] == "    0 stored"
    assert len(lines) == 2  # the next is not tried
    assert err == [
        "gradwatch: no answer from http://127.0.0.1:8321: nothing is lost, try again later"
    ]
    service.faults.clear()
    assert sync()[0] == 0
    assert len(service.steps) == 40
    assert folder.files(spool) == []


def test_a_few_failures_are_waited_out(service: MemoryService, sync: Sync) -> None:
    recorded()
    service.faults.extend([REFUSED, problem(503), REFUSED])
    assert sync()[:2][0] == 0
    assert len(service.steps) == 20


def test_long_ones_say_how_far_they_are(sync: Sync, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradwatch.commands.sync.PROGRESS_SECONDS", 0.0)
    recorded()
    _, _, err = sync()
    assert "gradwatch: 20 of 20" in err


def test_a_key_that_is_not_accepted_is_said_and_everything_stays(
    service: MemoryService, sync: Sync, spool: Path
) -> None:
    recorded()
    service.faults.append(problem(401, "unauthorized"))
    code, lines, _ = sync()
    assert code == 1
    assert lines[1:] == [
        "    0 stored",
        "    left: http://127.0.0.1:8321 refused the access with 401 unauthorized: as asked; "
        "set GRADWATCH_API_KEY; records are kept meanwhile",
    ]
    assert len(folder.files(spool)) == 1


def test_what_is_refused_for_good_is_kept_with_the_reason(
    service: MemoryService, sync: Sync, spool: Path
) -> None:
    recorded()
    service.faults.append(lambda _: None)
    service.faults.append(problem(422, "bad-frame"))
    code, lines, _ = sync()
    assert code == 1
    assert "refused: http://127.0.0.1:8321 refused the frame with 422 bad-frame" in lines[2]
    assert lines[2].endswith(f"they are kept in {spool / 'dead'}")
    frame, reason = sorted((spool / "dead").iterdir())
    assert (frame.suffix, reason.suffix) == (".frame", ".json")
    assert '"status": 422' in reason.read_text()
    assert folder.files(spool) == []


def test_a_damaged_file_is_said_and_stays(sync: Sync, spool: Path) -> None:
    recorded()
    (path,) = folder.files(spool)
    path.write_text("something else entirely")
    code, lines, err = sync()
    assert (code, lines) == (1, [])
    assert err == [f"gradwatch: {path} is no spool of Gradwatch, or cannot be read"]
    assert path.exists()


def test_launches_are_sent_as_they_began_and_a_run_ends_after_its_last_file(
    service: MemoryService, sync: Sync
) -> None:
    late = recorded(launch="z-first", ended=False, rank=1)
    recorded(launch="z-first")
    recorded(launch="a-second")
    late.finish()
    assert sync()[0] == 0
    launches = [path for _, path, _ in service.requests if path.endswith(("/runs", "/finish"))]
    assert [path.rpartition("/")[2] for path in launches] == ["runs", "finish"] * 3
    writers = list(dict.fromkeys(item.writer[:2] for item in service.stored))
    assert writers == ["r0", "r1"]


def test_sync_sends_although_the_mode_is_offline(service: MemoryService, sync: Sync) -> None:
    recorded()
    assert sync(mode="offline")[0] == 0
    assert len(service.steps) == 20
