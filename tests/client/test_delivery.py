from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest

from gradwatch.books import OwnBooks
from gradwatch.buffer import Buffer, Counts
from gradwatch.config import Config
from gradwatch.delivery import Link
from gradwatch.dispatch import Dispatch
from gradwatch.launch import Launch
from gradwatch.layers import Layer, LayerTable
from gradwatch.notices import Notices
from gradwatch.pause import Patience, Pause
from gradwatch.records import Event, Report
from gradwatch.spool.entries import DamagedError
from gradwatch.spool.journal import Journal
from gradwatch.spool.lanes import Lanes
from gradwatch.spooler import Spooler
from gradwatch.transport import Transport
from tests.client.memory_service import MemoryService, problem

RUN = "01935b2e-7a4c-7000-8000-000000000001"
TABLE = LayerTable((Layer("a"), Layer("b")))
REFUSED = httpx.ConnectError("refused")


def served(_: httpx.Request) -> None:
    """Not a fault: the request is answered by the contract."""


class Line:
    """A sender without its threads: every turn is made by the test."""

    def __init__(self, service: MemoryService, **settings: Any) -> None:
        config = replace(Config(), **settings)
        notices = Notices()
        self.buffer = Buffer(config)
        self.lanes = Lanes(Launch(RUN, "lm", "l1"), config, notices)
        self.books = OwnBooks(self.buffer)
        self.spooler = Spooler(self.buffer, self.lanes, config, lambda: None)
        link = Link(config, Transport(config, service.transport), notices)
        self.dispatch = Dispatch(self.lanes, link, self.books, lambda: self.spooler.ended, None)

    def log(self, *steps: int, table: LayerTable = TABLE) -> None:
        for step in steps:
            norms = {"grad_norm": np.full(len(table), step, np.float32)} if len(table) else {}
            self.buffer.append(Report(step, 0.0, table, {"loss": 1.0}, norms))

    def write(self) -> None:
        """Put everything that is queued into the lane, as far as it takes it."""
        self.spooler.urge()
        while len(self.buffer) and self.lanes.live.has_room:
            self.spooler.turn()

    def turn(self) -> Pause | None:
        self.write()
        return self.dispatch.turn()

    def turns(self, limit: int = 50) -> list[Pause]:
        """Turn until nothing is left to do; at most ``limit`` times."""
        pauses: list[Pause] = []
        while len(pauses) < limit and self.buffer.counts.pending:
            pause = self.turn()
            assert pause is not None
            pauses.append(pause)
        return pauses

    def end(self, farewell: dict[str, Any] | None) -> None:
        """Turn until the run has ended."""
        self.write()
        self.spooler.close(farewell)
        self.spooler.turn()
        while self.dispatch.turn() is not None:
            pass


@pytest.fixture
def line(service: MemoryService) -> Line:
    return Line(service)


def test_the_run_is_introduced_with_its_layers_and_then_the_frame_is_sent(
    line: Line, service: MemoryService
) -> None:
    line.log(0, 1, 2)
    line.turns()
    assert [(method, status) for method, _, status in service.requests] == [
        ("POST", 201),
        ("PUT", 201),
    ]
    introduced = service.runs[RUN]
    assert (introduced["project"], introduced["launch_id"]) == ("lm", "l1")
    assert [layer["name"] for layer in introduced["layers"]] == ["a", "b"]
    assert service.steps == [0, 1, 2]
    assert line.buffer.counts == Counts(observed=3, stored=3)


def test_nothing_is_sent_before_there_is_something_to_say(
    line: Line, service: MemoryService
) -> None:
    assert line.turn() == Pause(60.0, Patience.IDLE)
    assert service.requests == []


def test_numbers_count_from_0_without_gaps(line: Line, service: MemoryService) -> None:
    for step in range(4):
        line.log(step)
        line.turns()
    assert service.seqs == [0, 1, 2, 3]


def test_frames_never_mix_layer_tables(line: Line, service: MemoryService) -> None:
    grown = TABLE.extended([Layer("c")])
    line.log(0, 1)
    line.log(2, 3, table=grown)
    line.turns()
    assert [item.frame.layers_hash for item in service.stored] == [TABLE.hash, grown.hash]
    assert service.tables[RUN] == {TABLE.hash, grown.hash}
    assert service.steps == [0, 1, 2, 3]


def test_the_same_bytes_are_sent_until_they_are_acknowledged(
    line: Line, service: MemoryService
) -> None:
    sent: list[bytes] = []

    def lose_the_answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.content)
        service._answer(request)
        raise httpx.ReadError("cut after the commit")

    line.log(0, 1)
    service.faults.extend([REFUSED, served, lose_the_answer, lose_the_answer])
    line.turns()
    assert len(service.stored) == 1
    assert sent == [service.stored[0].body] * 2
    assert service.requests[-1][2] == 200
    assert line.buffer.counts == Counts(observed=2, stored=2)


def test_failures_are_waited_out_longer_and_longer(service: MemoryService) -> None:
    line = Line(service, backoff_cap_seconds=4.0)
    service.faults.extend([REFUSED] * 200)
    line.log(0)
    pauses = line.turns(200)
    assert {pause.patience for pause in pauses} == {Patience.BACKOFF}
    assert pauses[0].seconds <= 0.5
    assert 3.0 < max(pause.seconds for pause in pauses) <= 4.0
    assert max(pause.seconds for pause in pauses[:3]) <= 2.0


def test_retry_after_is_obeyed_and_cannot_be_cut_short(line: Line, service: MemoryService) -> None:
    line.log(0)
    header = {"retry-after": "30"}
    service.faults.extend([served, problem(503, "unavailable", **header)])
    (first, *_) = line.turns()
    assert first.patience is Patience.ORDERED
    assert 30.0 <= first.seconds <= 33.0
    assert service.steps == [0]


def test_retry_after_0_does_not_make_a_busy_loop(service: MemoryService) -> None:
    line = Line(service)
    line.log(0)
    service.faults.extend([problem(429, **{"retry-after": "0"})] * 40)
    assert max(pause.seconds for pause in line.turns(40)) > 0.1


@pytest.mark.parametrize(
    "refusal", [problem(404, "not-found"), problem(409, "unknown-layers")], ids=["run", "layers"]
)
def test_an_unknown_run_or_table_is_introduced_again_and_the_same_frame_sent(
    line: Line, service: MemoryService, refusal: httpx.Response
) -> None:
    line.log(0)
    line.turns()
    service.faults.append(refusal)
    line.log(1)
    assert [pause.seconds for pause in line.turns()][:-1] == [0.0]
    assert [method for method, _, _ in service.requests] == ["POST", "PUT", "PUT", "POST", "PUT"]
    assert (service.steps, service.seqs) == ([0, 1], [0, 1])


def test_a_deleted_run_comes_back_with_its_next_frame(line: Line, service: MemoryService) -> None:
    line.log(0)
    line.turns()
    service.runs.clear()
    service.tables.clear()
    line.log(1)
    line.turns()
    assert RUN in service.runs
    assert service.steps == [0, 1]


def test_a_service_that_never_learns_the_run_costs_one_frame(
    line: Line, service: MemoryService
) -> None:
    line.log(0)
    service.faults.extend([served, *[problem(404, "not-found"), served] * 6])
    line.turns()
    line.log(1)
    line.turns()
    assert line.buffer.counts == Counts(observed=2, stored=1, rejected=1)
    assert (service.steps, service.seqs) == ([1], [0])


def test_a_frame_that_is_too_large_is_split_in_order(line: Line, service: MemoryService) -> None:
    line.log(*range(100))
    line.buffer.append(Event(TABLE, {"kind": "note"}))
    service.max_bytes = 600
    line.turns()
    assert service.steps == list(range(100))
    assert [event["kind"] for event in service.events] == ["note"]
    assert service.seqs == list(range(len(service.stored)))
    assert all(len(item.body) <= 600 for item in service.stored)
    assert line.buffer.counts == Counts(observed=101, stored=101)


def test_a_single_record_that_is_too_large_is_rejected_and_its_number_used_again(
    line: Line, service: MemoryService
) -> None:
    wide = LayerTable(tuple(Layer(str(i)) for i in range(500)))
    line.log(0)
    line.log(1, table=wide)
    line.log(2)
    service.max_bytes = 1000
    line.turns()
    assert (service.steps, service.seqs) == ([0, 2], [0, 1])
    assert line.buffer.counts == Counts(observed=3, stored=2, rejected=1)


@pytest.mark.parametrize("status", [400, 415, 422])
def test_a_frame_refused_for_good_is_counted_and_leaves_no_gap(
    line: Line, service: MemoryService, status: int
) -> None:
    line.log(0, 1)
    service.faults.extend([served, problem(status)])
    line.turns()
    line.log(2)
    line.turns()
    assert (service.steps, service.seqs) == ([2], [0])
    assert line.buffer.counts == Counts(observed=3, stored=1, rejected=2)


def test_a_number_consumed_by_a_refused_frame_is_passed_over(
    line: Line, service: MemoryService
) -> None:
    def consume(request: httpx.Request) -> httpx.Response:
        service._answer(request)
        service.stored[-1].body += b"as a note of the refusal"
        return problem(422)

    line.log(0)
    service.faults.extend([served, consume])
    line.turn()
    line.log(1)
    line.turns()
    assert service.seqs == [0, 1]
    assert [status for _, _, status in service.requests] == [201, 422, 409, 201]


def test_a_conflict_out_of_the_blue_rejects_the_frame(line: Line, service: MemoryService) -> None:
    line.log(0)
    service.faults.extend([served, problem(409, "conflict")])
    line.turns()
    line.log(1)
    line.turns()
    assert service.seqs == [1]
    assert line.buffer.counts == Counts(observed=2, stored=1, rejected=1)


def test_a_defect_of_the_service_is_tried_six_times(line: Line, service: MemoryService) -> None:
    line.log(0)
    service.faults.extend([served, *[problem(500)] * 6])
    line.turns()
    line.log(1)
    line.turns()
    assert [status for _, _, status in service.requests].count(500) == 6
    assert line.buffer.counts == Counts(observed=2, stored=1, rejected=1)
    assert service.steps == [1]


def test_frames_that_the_disk_gives_back_no_more_are_counted(
    line: Line, service: MemoryService
) -> None:
    for step in range(3):
        line.log(step)
        line.write()
    line.turn()
    path = line.lanes.live.path
    assert path is not None
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(DamagedError):
        line.dispatch.turn()
    line.dispatch.abandon()
    line.log(3)
    line.turns()
    assert service.steps == [0, 3]
    assert line.buffer.counts == Counts(observed=4, stored=2, rejected=2)


def test_a_split_that_cannot_be_noted_is_tried_later(
    line: Line, service: MemoryService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    line.log(*range(40))
    service.max_bytes = 600
    with monkeypatch.context() as full:
        full.setattr(Journal, "split", fail)
        line.turn()
        pause = line.turn()
        assert pause is not None
        assert pause.patience is Patience.BACKOFF
    line.turns()
    assert service.steps == list(range(40))


def test_outages_do_not_count_as_defects(line: Line, service: MemoryService) -> None:
    line.log(0)
    service.faults.extend([served, *[REFUSED, problem(503)] * 10, *[problem(500)] * 5])
    line.turns()
    assert line.buffer.counts == Counts(observed=1, stored=1)


@pytest.mark.parametrize("status", [401, 403, 307, 404, 405])
def test_a_refused_introduction_that_a_person_can_mend_keeps_everything(
    line: Line, service: MemoryService, status: int
) -> None:
    line.log(0, 1)
    service.faults.append(problem(status))
    (first, *_) = line.turns()
    assert first == Pause(300.0, Patience.ORDERED)
    assert service.steps == [0, 1]


def test_a_run_refused_for_good_rejects_what_belongs_to_it(
    line: Line, service: MemoryService, warnings_logged: Any
) -> None:
    line.log(0)
    service.faults.extend([problem(409, "conflict")] * 2)
    line.turns()
    line.log(1)
    line.turns()
    assert line.buffer.counts == Counts(observed=2, rejected=2)
    (warning,) = warnings_logged()
    assert "refused the run with 409 conflict: as asked; run `gradwatch doctor`" in warning


def test_a_login_page_acknowledges_nothing(line: Line, service: MemoryService) -> None:
    line.log(0)
    pages = [httpx.Response(200, html="<p>Sign in</p>") for _ in range(2)]
    service.faults.extend([pages[0], served, pages[1]])
    line.turns()
    assert service.steps == [0]


def test_records_refused_within_a_frame_are_counted(line: Line, service: MemoryService) -> None:
    line.log(0, 1, 2)
    receipt = {"status": "stored", "accepted": 2, "rejected": 1}
    service.faults.extend([served, httpx.Response(201, json=receipt)])
    line.turns()
    assert line.buffer.counts == Counts(observed=3, stored=2, rejected=1)


def test_each_kind_of_trouble_is_said_once(
    line: Line, service: MemoryService, warnings_logged: Any
) -> None:
    line.log(0)
    service.faults.extend([REFUSED, REFUSED, problem(401), problem(401)])
    line.turns()
    unreachable, access = warnings_logged()
    assert "no answer from http://127.0.0.1:8321 (refused); training goes on" in unreachable
    assert "401" in access
    assert "set GRADWATCH_API_KEY" in access


def test_the_newest_receipt_is_the_news(line: Line, service: MemoryService) -> None:
    service.guard = {"max_norm": 2.5, "expires_step": 256, "max_consecutive_skips": 4}
    service.alerts = [{"id": "a", "state": "firing"}]
    line.log(0)
    line.turns()
    assert line.books.news.guard.max_norm == 2.5
    assert line.books.news.alerts == ({"id": "a", "state": "firing"},)


def test_the_end_is_reported_after_everything_else(line: Line, service: MemoryService) -> None:
    line.log(0)
    line.end({"state": "failed", "reason": "NaN"})
    assert [path.rpartition("/")[2] for _, path, _ in service.requests] == ["runs", "0", "finish"]
    assert service.ended[RUN] == {"state": "failed", "reason": "NaN"}


def test_a_run_without_reports_is_introduced_and_ended(line: Line, service: MemoryService) -> None:
    service.faults.extend([REFUSED, served, problem(503)])
    line.end({"state": "finished"})
    assert "layers" not in service.runs[RUN]
    assert service.ended[RUN] == {"state": "finished"}


def test_an_end_refused_for_good_is_the_end_all_the_same(
    line: Line, service: MemoryService
) -> None:
    service.faults.extend([served, problem(422)])
    line.end({"state": "finished"})
    assert service.ended == {}


def test_a_fork_ends_without_a_farewell(line: Line, service: MemoryService) -> None:
    line.log(0)
    line.end(None)
    assert service.steps == [0]
    assert service.ended == {}


def test_what_is_queued_is_sent_without_a_rest_while_the_run_ends(
    service: MemoryService,
) -> None:
    line = Line(service, frame_records=2)
    line.log(*range(6))
    pauses = line.turns()
    assert [pause.seconds for pause in pauses] == [0.0, 0.0, 0.0]


def test_frames_keep_to_their_limits(service: MemoryService) -> None:
    line = Line(service, frame_records=3, frame_bytes=700)
    line.log(*range(10))
    line.turns()
    assert [len(item.frame) for item in service.stored] == [2, 2, 2, 2, 2]
    assert service.steps == list(range(10))
