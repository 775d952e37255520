"""What the load benchmark sends and hears: bodies in the peers' forms, answers, /proc."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from benchmarks.load import formats
from benchmarks.load.courses import W2_STATS, Shape
from benchmarks.load.formats import FormatStream, digits
from benchmarks.load.processes import usage
from benchmarks.load.protobuf import varint
from benchmarks.load.streams import Turns
from benchmarks.load.wire import complete
from benchmarks.load.writing import W2, Workload, course_of

from tests.servers import poll

SMALL = replace(W2, shape=Shape(2, W2_STATS, cycle=8), batch=2, steps=8, sections=2)
TIMES = [b"1700000000000", b"1700000000250", b"1700000000500", b"1700000000750"]


def bodies(form: formats.Format, workload: Workload = SMALL) -> list[bytes]:
    stream = FormatStream(form, course_of(workload, 0), "run-0000", workload)
    found = []
    while (parts := stream.parts()) is not None:
        head, body = parts
        assert f"Content-Length: {len(body)}\r\n".encode() in bytes(head)
        found.append(bytes(body))
        stream.acknowledged()
    return found


def test_a_line_of_json_holds_the_float32_values_and_the_times_of_a_series() -> None:
    first, second, *_ = bodies(formats.json_import("/"))

    series = [json.loads(line) for line in first.splitlines()]
    assert len(series) == SMALL.shape.values
    grads = course_of(SMALL, 0).layers["grad_norm"]
    assert series[0]["metric"] == {
        "__name__": "grad_norm", "run": "run-0000", "layer": "block00000.weight",
    }  # fmt: skip
    assert [float(value) for value in grads[:2, 0]] == pytest.approx(series[0]["values"], rel=1e-7)
    assert series[0]["timestamps"] == [int(one) for one in TIMES[:2]]
    later = [json.loads(line) for line in second.splitlines()]
    assert later[0]["timestamps"] == [int(one) for one in TIMES[2:]]
    assert later[0]["values"] != series[0]["values"]


@pytest.mark.parametrize("form", [formats.influx("/"), formats.csv("/")], ids=lambda one: one.name)
def test_lines_by_layer_and_step_end_with_their_time(form: formats.Format) -> None:
    lines = bodies(form)[0].splitlines()

    assert len(lines) == SMALL.batch * (SMALL.shape.layers + 1)
    assert [line[-13:] for line in lines] == TIMES[:2] * (SMALL.shape.layers + 1)


def test_every_sample_of_remote_write_has_its_time() -> None:
    body = bodies(formats.prometheus("/"))[0]

    stamps = [varint(int(one)) for one in TIMES[:2]]
    assert [body.count(b"\x10" + stamp) for stamp in stamps] == [SMALL.shape.values] * 2
    assert body.startswith(varint(len(body) - 5 - len(varint(len(body)))) + b"\xfc")


def test_streams_on_one_connection_take_turns() -> None:
    form = formats.Format("", "/", formats.exposition, digits)
    streams = [FormatStream(form, course_of(SMALL, place), "run", SMALL) for place in (0, 1)]
    turns = Turns(streams)

    for _ in range(3):
        turns.acknowledged()

    assert (turns.sent, [stream.sent for stream in streams]) == (3, [2, 1])


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}", 201),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204),
        (b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{", 0),
        (b"HTTP/1.1 201 Created\r\nContent-Le", 0),
    ],
)
def test_an_answer_counts_when_all_of_it_is_there(answer: bytes, status: int) -> None:
    assert complete(answer) == status


def test_the_processor_time_of_a_process_is_read() -> None:
    before, end = usage([os.getpid()]), time.process_time() + 0.1
    while time.process_time() < end:
        pass

    spent = usage([os.getpid()]) - before
    assert spent.cpu_seconds >= 0.08
    assert spent.resident_bytes > 2**20


CHILD = """
import sys, time
held = bytes([1]) * (64 * 2**20)
while time.process_time() < 0.3:
    pass
print("done", flush=True)
sys.stdin.readline()
"""
PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]]); input()"


def test_what_children_use_counts_also_after_their_end() -> None:
    command = [sys.executable, "-c", PARENT, CHILD]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"done\n"
        with_child = usage([parent.pid])
        assert with_child.cpu_seconds >= 0.29
        assert with_child.resident_bytes > 64 * 2**20
        parent.stdin.write(b"\n")
        parent.stdin.flush()
        poll(lambda: usage([parent.pid]).resident_bytes < 64 * 2**20, "the child ended")
        poll(lambda: usage([parent.pid]).cpu_seconds >= with_child.cpu_seconds, "its time counts")
        parent.kill()
