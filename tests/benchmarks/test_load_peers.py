"""The load benchmark's peers: each takes what it is sent, in as many requests as it needs."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from time import sleep

import pytest
from benchmarks.load.courses import W2_STATS, Shape
from benchmarks.load.driver import measure
from benchmarks.load.formats import Format, FormatStream, digits, exposition, format_streams
from benchmarks.load.jobs import Jobs, reports
from benchmarks.load.peer import Peer, all_peers
from benchmarks.load.peers import mlflow
from benchmarks.load.reports import Report
from benchmarks.load.wire import Span
from benchmarks.load.writing import W1, W2, course_of

SMALL = replace(
    W2, shape=Shape(3, W2_STATS, cycle=8), batch=2, runs=2, steps=8, sections=2, start=0
)
PEERS = all_peers()


@pytest.mark.parametrize("peer", PEERS, ids=lambda one: one.name)
def test_an_installed_peer_takes_everything(peer: Peer | Jobs) -> None:
    if peer.missing():
        pytest.skip(peer.missing())

    seconds = 20.0 if isinstance(peer, Peer) else 1.0  # a server's streams end by themselves
    rows = list(peer.rows(SMALL, seconds, 0.0))

    assert rows
    for row in rows:
        found = row.measured
        assert (found.errors, found.refusal) == (0, "")
        assert found.floats == sum(found.acknowledged) * SMALL.floats > 0
        assert found.resident_bytes > 2**20


def test_peers_are_found_by_their_files() -> None:
    names = {"InfluxDB", "MLflow", "Prometheus", "Trackio", "VictoriaMetrics", "W&B offline"}
    assert names <= {peer.name for peer in PEERS}
    assert all(peer.formats(W2) for peer in PEERS if isinstance(peer, Peer))


def test_mlflow_gets_every_value_once_in_requests_of_a_thousand() -> None:
    workload = replace(W1, runs=1, steps=20, sections=2)
    form = mlflow.PEER.formats(workload)[0]
    stream = FormatStream(form, course_of(workload, 0), "the-run", workload)
    metrics, requests = [], 0
    while stream.sent == 0:
        parts = stream.parts()
        assert parts is not None
        sent = json.loads(parts[1])
        assert sent["run_id"] == "the-run"
        assert len(sent["metrics"]) == stream.floats <= mlflow.MOST_METRICS
        metrics += sent["metrics"]
        requests += 1
        stream.acknowledged()

    assert requests == 25
    assert len(metrics) == workload.floats
    assert all(one["step"] == one["timestamp"] for one in metrics)
    stored = {(one["key"], one["step"]): one["value"] for one in metrics}
    course = course_of(workload, 0)
    times = [int(1e3 * time) for time in course.time[:10]]
    assert set(Counter(step for _, step in stored).values()) == {workload.shape.values}
    found = [stored["block00299.weight/update_norm", time] for time in times]
    assert found == pytest.approx(course.layers["update_norm"][:10, 299], rel=1e-7)
    assert [stored["run_loss", time] for time in times] == list(course.scalars["loss"][:10])


class Taking(BaseHTTPRequestHandler):
    """Takes every request after a while."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    taken = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        sleep(0.01)
        type(self).taken += 1
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def port() -> Iterator[int]:
    Taking.taken = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Taking) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def by_layer(sent: Report) -> list[Report]:
    return [
        replace(sent, names=[name], layers=[layer], scalars={})
        for name, layer in zip(sent.names, sent.layers, strict=True)
    ]


BY_LAYER = Format("", "/", exposition, digits, requests=by_layer)
FLOATS = SMALL.batch * 3 * len(W2_STATS)  # by_layer leaves out the scalars


def test_a_report_of_several_requests_counts_once(port: int) -> None:
    streams = partial(format_streams, BY_LAYER, SMALL, ["one", "other"])

    found = measure(port, (os.getpid(),), streams, Span(20.0))

    assert found.acknowledged == [4, 4]
    assert (found.requests, found.statuses) == (8, {200: 24})
    assert found.floats == 8 * FLOATS
    assert found.p50 > 3 * 0.01


def test_a_report_that_has_begun_is_sent_to_its_end(port: int) -> None:
    endless = replace(SMALL, steps=10_000)
    streams = partial(format_streams, BY_LAYER, endless, ["one", "other"])

    found = measure(port, (os.getpid(),), streams, Span(0.1))

    assert 0 < sum(found.acknowledged) < 1_000
    assert Taking.taken == 3 * sum(found.acknowledged)


JOB = """
import json, pathlib, sys
reports, folder, seconds = json.loads(pathlib.Path(sys.argv[1]).read_text()), *sys.argv[2:]
print("ready", flush=True)
if sys.stdin.readline() != "\\n": sys.exit(1)
pathlib.Path(folder, "values").write_bytes(bytes(len(reports) * 640))
print(json.dumps([float(seconds)] * len(reports)), flush=True)
sys.stdin.readline()
"""


def jobs(program: str) -> Jobs:
    return Jobs("jobs", str, lambda: [sys.executable, "-c", program], {})


def test_jobs_are_measured_until_they_have_written_everything() -> None:
    (row,) = jobs(JOB).rows(SMALL, 0.25, 0.0)

    found = row.measured
    assert found.acknowledged == [2, 2]
    assert (found.requests, found.floats) == (4, 4 * SMALL.floats)
    assert (found.p50, found.errors) == (0.25, 0)
    assert row.bytes_a_float == 640 / SMALL.floats


def test_a_job_that_dies_is_no_measurement() -> None:
    with pytest.raises(SystemExit, match="ended before"):
        list(jobs("print('ready')").rows(SMALL, 0.1, 0.0))


def test_more_runs_than_there_should_be_jobs_are_left_out() -> None:
    assert list(jobs(JOB).rows(W2, 0.1, 0.0)) == []


def test_a_job_logs_every_value_by_its_name_step_by_step() -> None:
    found = reports(SMALL, 1)

    course = course_of(SMALL, 1)
    assert [len(steps) for steps in found] == [2, 2]
    assert {len(values) for steps in found for values in steps} == {SMALL.shape.values}
    grads = [steps[1]["block00002.weight/grad_norm"] for steps in found]
    assert grads == pytest.approx([course.layers["grad_norm"][at, 2] for at in (1, 3)], rel=1e-7)
