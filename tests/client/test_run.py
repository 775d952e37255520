from __future__ import annotations

import logging
import math
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from gradwatch.buffer import Counts
from gradwatch.guard import PROCEED, Decision
from gradwatch.launch import Launch
from gradwatch.layers import Layer
from gradwatch.records import Measured
from gradwatch.run import Run
from gradwatch.sender import SENDER_THREAD, SPOOL_THREAD
from tests.client.conftest import RUN_ID, OpenRun
from tests.client.memory_service import MemoryService, problem
from tests.servers import poll

REFUSED = httpx.ConnectError("refused")
ARMED = {"max_norm": 2.0, "skip_above": 50.0, "skip_nonfinite": True, "max_consecutive_skips": 2}


def delivered(run: Run) -> None:
    assert run.flush(10.0)


def test_what_is_logged_arrives(open_run: OpenRun, service: MemoryService) -> None:
    run = open_run()
    run.log(5, loss=1.5, layers={"fc1": {"grad_norm": 0.5}, "fc2": {"grad_norm": math.nan}})
    run.log(loss=1.25, layers={"fc2": {"grad_norm": 2.0}, "fc1": {"grad_norm": 1.0}})
    delivered(run)
    assert service.steps == [5, 6]
    assert service.scalar("loss") == [1.5, 1.25]
    (first, second) = service.stat("grad_norm")
    assert first[0] == 0.5
    assert math.isnan(first[1])
    assert second == [1.0, 2.0]
    assert run.id == RUN_ID
    assert run.counts == Counts(observed=2, stored=2)


def test_new_layer_names_extend_the_table(open_run: OpenRun, service: MemoryService) -> None:
    run = open_run(layers=[Layer("fc1", kind="linear", depth=0)])
    run.log(0, layers={"fc1": {"grad_norm": 1.0}})
    run.log(1, layers={"fc2": {"grad_norm": 2.0}})
    delivered(run)
    assert len(service.tables[RUN_ID]) == 2
    assert [len(row) for row in service.stat("grad_norm")] == [1, 2]
    assert service.runs[RUN_ID]["layers"][0]["kind"] == "linear"


def test_profiles_arrive(open_run: OpenRun, service: MemoryService) -> None:
    run = open_run()
    run.log(0, profiles={"time": [1.0, 2.0, 4.0]})
    delivered(run)
    assert service.stored[0].frame.profiles["time"].tolist() == [[1.0, 2.0, 4.0]]


def test_a_server_that_comes_back_gets_everything_once_and_in_order(
    open_run: OpenRun, service: MemoryService
) -> None:
    run = open_run()
    down = threading.Event()
    down.set()

    def out(_: httpx.Request) -> None:
        if down.is_set():
            service.faults.append(out)
            raise REFUSED

    for step in range(20):
        run.log(step)
    delivered(run)
    service.faults.append(out)
    for step in range(20, 300):
        run.log(step)
    poll(lambda: "PUT" in dict.fromkeys(method for method, _, _ in service.requests), "tried")
    assert not run.flush(0.0)
    down.clear()
    delivered(run)
    assert service.steps == list(range(300))
    assert service.seqs == list(range(len(service.stored)))
    assert run.counts == Counts(observed=300, stored=300)


def test_records_are_sent_promptly_without_being_asked(
    open_run: OpenRun, service: MemoryService
) -> None:
    run = open_run()
    run.log(0)
    poll(lambda: service.steps == [0], "a single record was sent")
    for step in range(1, 40):
        run.log(step)
    poll(lambda: len(service.steps) == 40, "many records were sent")


def test_an_overflow_keeps_the_first_the_broken_and_the_newest(
    open_run: OpenRun, service: MemoryService
) -> None:
    settings = {"queue_records": 10, "spool_bytes": 0, "exit_seconds": 0.0}
    run = open_run(auth_pause_seconds=3600.0, **settings)
    service.faults.append(problem(401))
    run.log(0, loss=0.0)
    poll(lambda: bool(service.requests), "the sender has the first record")
    for step in range(1, 100):
        run.log(step, loss=math.nan if step == 3 else 1.0)
    counts = run.counts
    assert (counts.observed, counts.dropped, counts.pending) == (100, 89, 11)
    queued = run._sender.buffer.take(100, 10**9)
    assert [getattr(record, "step", None) for record in queued] == [3, *range(91, 100)]
    run._sender.buffer.settle(rejected=len(queued))


@pytest.mark.parametrize(
    ("call", "counts"),
    [
        (lambda run: run.log("one"), Counts(observed=1, rejected=1)),
        (lambda run: run.log(-1, loss=1.0), Counts(observed=1, rejected=1)),
        (lambda run: run.log(0, loss="high"), Counts(observed=1, stored=1, malformed=1)),
        (lambda run: run.log(0, layers=7), Counts(observed=1, stored=1, malformed=1)),
        (lambda run: run.log(0, layers={1: {}}), Counts(observed=1, stored=1, malformed=1)),
        (lambda run: run.log(0, layers={"a": 1}), Counts(observed=1, stored=1, malformed=1)),
        (lambda run: run.log(0, profiles="x"), Counts(observed=1, stored=1, malformed=1)),
        (lambda run: run.event(""), Counts(observed=1, rejected=1)),
        (lambda run: run.event("note", step=-1), Counts(observed=1, rejected=1)),
        (lambda run: run.decide("big"), Counts(malformed=1)),
        (lambda run: run.decide(1.0, step="x"), Counts(malformed=1)),
    ],
)
def test_malformed_arguments_are_counted_and_said_once(
    open_run: OpenRun,
    warnings_logged: Callable[[], list[str]],
    call: Callable[[Any], None],
    counts: Counts,
) -> None:
    run = open_run()
    call(run)
    delivered(run)
    assert run.counts == counts
    call(run)
    assert len(warnings_logged()) == 1


def test_events_arrive_with_their_fields(open_run: OpenRun, service: MemoryService) -> None:
    run = open_run()
    run.event("checkpoint", step=10, path="a/b", score=math.nan, time="never")
    run.event("note")
    delivered(run)
    first, second = service.events
    assert (first["kind"], first["step"], first["path"]) == ("checkpoint", 10, "a/b")
    assert first["score"] == "NaN"
    assert isinstance(first["time"], float)
    assert set(second) == {"kind", "time"}
    assert run.counts == Counts(observed=2, stored=2)


def test_the_guard_of_the_newest_receipt_decides(open_run: OpenRun, service: MemoryService) -> None:
    service.guard = {**ARMED, "expires_step": 256}
    service.advice = [{"action": "clip_grad_norm"}]
    run = open_run()
    assert run.decide(math.nan) == PROCEED
    run.log(0)
    delivered(run)
    assert run.guard.max_norm == 2.0
    assert run.advice == [{"action": "clip_grad_norm"}]
    assert run.alerts == []
    assert run.decide(1.0) == PROCEED
    assert run.decide(4.0) == Decision(clip=2.0 / (4.0 + 1e-6))
    assert [run.decide(99.0).skip for _ in range(4)] == [True, True, False, True]
    assert run.decide(99.0, step=257) == PROCEED
    delivered(run)
    skips = [event for event in service.events if event["kind"] == "guard"]
    assert [(event["step"], event["grad_norm"]) for event in skips] == [(1, 99.0)] * 3


def test_the_end_is_reported_once(open_run: OpenRun, service: MemoryService) -> None:
    run = open_run()
    run.log(0)
    run.finish("failed", "out of patience")
    run.finish()
    assert service.ended == {RUN_ID: {"state": "failed", "reason": "out of patience"}}
    assert service.steps == [0]


def test_a_block_that_raises_has_failed(open_run: OpenRun, service: MemoryService) -> None:
    def work() -> None:
        with open_run() as run:
            run.log(0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert service.ended == {RUN_ID: {"state": "failed", "reason": "ZeroDivisionError"}}


def test_a_block_that_ends_has_finished(open_run: OpenRun, service: MemoryService) -> None:
    with open_run():
        pass
    assert service.ended == {RUN_ID: {"state": "finished"}}


def test_an_unknown_state_of_the_end_is_finished(open_run: OpenRun, service: MemoryService) -> None:
    open_run().finish("done")
    assert service.ended == {RUN_ID: {"state": "finished"}}


def test_what_comes_after_the_end_is_refused(
    open_run: OpenRun, service: MemoryService, warnings_logged: Callable[[], list[str]]
) -> None:
    run = open_run()
    run.finish()
    run.log(0)
    run.event("note")
    assert run.counts == Counts(observed=2, rejected=2)
    assert service.steps == []
    assert warnings_logged() == ["gradwatch: the run is finished; the report was left out"]


def test_undelivered_records_are_announced(
    open_run: OpenRun, service: MemoryService, warnings_logged: Callable[[], list[str]]
) -> None:
    run = open_run(exit_seconds=0.0, auth_pause_seconds=3600.0)
    service.faults.append(problem(401))
    run.log(0)
    run.log(1)
    poll(lambda: bool(service.requests), "the key was refused")
    run.finish()
    assert f"2 records and the end of run {RUN_ID} are not delivered" in warnings_logged()[-1]


def test_a_logging_handler_that_reports_does_not_feed_itself(
    open_run: OpenRun, service: MemoryService
) -> None:
    run = open_run()

    class Reporting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            run.log(loss=float(record.levelno))
            run.event("note", text=record.getMessage())

    handler = Reporting()
    loggers = [logging.getLogger(name) for name in ("gradwatch", "httpx", "httpcore")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    try:
        service.faults.extend([REFUSED, problem(500), problem(422)])
        run.log(0, loss="malformed")
        delivered(run)
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
            logger.setLevel(logging.NOTSET)
    assert run.counts.observed == 3  # ours, and one report and one event about it


def test_the_log_of_the_job_is_not_filled_with_requests(
    open_run: OpenRun, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    run = open_run()
    run.log(0)
    delivered(run)
    logging.getLogger("httpx").info("of the job itself")
    assert [record.getMessage() for record in caplog.records] == ["of the job itself"]


def test_a_key_that_is_refused_is_tried_again_later(
    open_run: OpenRun, service: MemoryService
) -> None:
    run = open_run()
    service.faults.append(problem(401))
    run.log(0)
    delivered(run)
    assert service.steps == [0]


def test_without_a_disk_a_run_ends_as_fast_as_it_is_answered(
    open_run: OpenRun, service: MemoryService, spool: Path
) -> None:
    spool.touch()
    run = open_run(linger_seconds=3600.0, frame_records=5, eager_records=3600)
    for step in range(200):
        run.log(step)
    run.finish()
    assert service.steps == list(range(200))


def test_a_defect_of_ours_costs_one_frame_and_is_logged(
    open_run: OpenRun, service: MemoryService, warnings_logged: Callable[[], list[str]]
) -> None:
    run = open_run()
    service.faults.append(KeyError("a defect"))
    run.log(0)
    delivered(run)
    run.log(1)
    delivered(run)
    assert run.counts == Counts(observed=2, stored=1, rejected=1)
    assert service.steps == [1]
    assert "because of a defect; please report it" in warnings_logged()[0]


def test_a_system_without_threads_to_spare_keeps_the_job_alive(
    open_run: OpenRun,
    warnings_logged: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    service: MemoryService,
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    run = open_run()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        run.log(0)
        run.log(1)
    assert warnings_logged() == ["gradwatch: the sender cannot start: can't start new thread"]
    run.log(2)
    delivered(run)
    assert service.steps == [0, 1, 2]


def test_watching_without_pytorch_is_said(
    open_run: OpenRun,
    warnings_logged: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "gradwatch.integrations.pytorch", None)
    monitor = open_run().watch(object(), object())
    assert monitor.step()
    (warning,) = warnings_logged()
    assert warning.startswith("gradwatch: watch() needs PyTorch: ")


def test_an_integration_that_reports_after_the_end_is_refused(open_run: OpenRun) -> None:
    run = open_run()
    columns = run.add_layers([Layer("a")])
    run.finish()
    run.log_measured(Measured(0, 0.0, {}, columns, {}))
    assert run.counts == Counts(observed=1, rejected=1)


def test_every_thread_may_log(open_run: OpenRun, service: MemoryService) -> None:
    run = open_run()

    def work(start: int) -> None:
        for step in range(start, start + 100):
            run.log(step, layers={f"layer {start}": {"grad_norm": 1.0}})

    threads = [threading.Thread(target=work, args=(100 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    delivered(run)
    assert sorted(service.steps) == list(range(400))
    assert run.counts == Counts(observed=400, stored=400)


def test_the_threads_start_with_the_first_record_and_end_with_the_run(open_run: OpenRun) -> None:
    ours = (SENDER_THREAD, SPOOL_THREAD)

    def senders() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name in ours]

    before = senders()
    run = open_run()
    assert senders() == before
    run.log(0)
    own = set(senders()) - set(before)
    assert {(thread.name, thread.daemon) for thread in own} == {(name, True) for name in ours}
    run.finish()
    for thread in own:
        thread.join(10.0)
        assert not thread.is_alive()


def test_facts_of_an_integration_do_not_replace_what_was_given(
    open_run: OpenRun, service: MemoryService
) -> None:
    run = open_run(Launch(RUN_ID, "lm", "l1", config={"optimizer": "mine"}))
    run.add_config({"optimizer": "SGD", "framework": "pytorch"})
    run.log(0)
    delivered(run)
    assert service.runs[RUN_ID]["config"] == {"optimizer": "mine", "framework": "pytorch"}
