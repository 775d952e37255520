"""Event files are read as TensorBoard reads them, whoever wrote them and however they end."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.util.tensor_util import make_tensor_proto

from gradwatch.history.past_run import PastRun, Value
from gradwatch.history.tensorboard import read
from tests.client.history.logs import (
    START,
    histogram,
    scalar,
    write_events,
    write_exploding,
)


def only(root: Path) -> PastRun:
    (run,) = read(root)
    return run


def values(run: PastRun, name: str) -> dict[int, float]:
    return {step: found.value for step, found in run.series[name].items()}


def test_scalars_are_those_that_tensorboard_reads(tmp_path: Path):
    file = write_exploding(tmp_path)
    wanted: dict[str, dict[int, Value]] = {}
    for event in LegacyEventFileLoader(str(file)).Load():
        for value in event.summary.value:
            found = Value(event.wall_time, value.simple_value)
            wanted.setdefault(value.tag, {})[event.step] = found
    run = only(tmp_path)
    assert run.series == wanted
    assert len(run.series) == 4
    assert not run.left_out
    assert only(file).series == wanted


@pytest.mark.torch
def test_what_pytorch_writes_is_read(tmp_path: Path):
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    with tensorboard.SummaryWriter(str(tmp_path)) as writer:
        for step in range(3):
            writer.add_scalar("Loss/train", 0.5 * step, step, walltime=START)
            writer.add_scalar("new", 0.25, step, new_style=True)
        writer.add_scalar("Loss/train", math.nan, 7)
        writer.add_histogram("gradients/fc", np.array([3.0, -4.0]), 2)
        writer.add_text("note", "hello", 2)
    run = only(tmp_path)
    assert list(values(run, "Loss/train")) == [0, 1, 2, 7]
    assert run.series["Loss/train"][1] == Value(START, 0.5)
    assert math.isnan(values(run, "Loss/train")[7])
    assert values(run, "new") == dict.fromkeys(range(3), 0.25)
    assert values(run, "gradients/fc#norm") == {2: 5.0}
    assert values(run, "gradients/fc#max") == {2: 4.0}
    assert run.left_out.total() == 1


def test_tensors_of_one_number_are_scalars_and_others_are_left_out(tmp_path: Path):
    def tensor(tag: str, proto: TensorProto) -> Summary.Value:
        return Summary.Value(tag=tag, tensor=proto)

    write_events(
        tmp_path,
        (0, [tensor("single", make_tensor_proto(np.float32(1.5)))]),
        (1, [tensor("double", make_tensor_proto(np.float64(2.5)))]),
        (2, [tensor("raw", TensorProto(dtype=1, tensor_content=np.float32(3.5).tobytes()))]),
        (3, [tensor("vector", make_tensor_proto(np.ones(1, np.float32)))]),
        (4, [tensor("count", make_tensor_proto(np.int64(3)))]),
        (5, [tensor("text", make_tensor_proto("hello"))]),
    )
    run = only(tmp_path)
    found = {name: values(run, name) for name in run.series}
    assert found == {"single": {0: 1.5}, "double": {1: 2.5}, "raw": {2: 3.5}}
    assert run.left_out.total() == 3


def test_every_folder_with_events_is_a_run(tmp_path: Path):
    for name in ("b", "a/x"):
        (tmp_path / name).mkdir(parents=True)
        write_events(tmp_path / name, (0, [scalar("loss", 1.0)]))
    write_events(tmp_path, (0, [scalar("loss", 2.0)]))
    assert [run.name for run in read(tmp_path)] == [tmp_path.name, "a/x", "b"]
    assert len({run.id_in("p") for run in read(tmp_path)}) == 3


def test_a_later_file_replaces_what_an_earlier_one_said_and_the_run_stays_the_same(tmp_path: Path):
    write_events(tmp_path, (0, [scalar("loss", 1.0)]), (1, [scalar("loss", 1.0)]), suffix=".0")
    first = only(tmp_path)
    write_events(tmp_path, (1, [scalar("loss", 5.0)]), suffix=".1")
    second = only(tmp_path)
    assert values(second, "loss") == {0: 1.0, 1: 5.0}
    assert first.id_in("p") == second.id_in("p") != second.id_in("q")


def test_a_file_that_is_being_written_ends_with_its_last_whole_record(tmp_path: Path):
    file = write_events(tmp_path, *((step, [scalar("loss", 1.0)]) for step in range(3)))
    whole = file.read_bytes()
    for cut in (1, 20, 40):
        file.write_bytes(whole[:-cut])
        run = only(tmp_path)
        assert list(values(run, "loss")) in ([0, 1], [0])
        assert not run.left_out


@pytest.mark.parametrize("place", [-3, -12, -30])
def test_a_damaged_file_says_so_and_keeps_what_came_before(tmp_path: Path, place: int):
    file = write_events(tmp_path, *((step, [scalar("loss", 1.0)]) for step in range(3)))
    content = bytearray(file.read_bytes())
    content[place] ^= 0x10
    file.write_bytes(bytes(content))
    run = only(tmp_path)
    assert list(values(run, "loss")) == [0, 1]
    (reason,) = run.left_out
    assert reason.startswith(f"rest of {file.name}: ")


def test_a_histogram_without_values_is_a_norm_of_zero(tmp_path: Path):
    write_events(tmp_path, (0, [histogram("gradients/a", 0.0, 0.0, 0.0)]))
    assert values(only(tmp_path), "gradients/a#norm") == {0: 0.0}


def test_steps_below_zero_are_left_out(tmp_path: Path):
    write_events(tmp_path, (-1, [scalar("loss", 1.0)]), (0, [scalar("loss", 1.0)]))
    run = only(tmp_path)
    assert list(values(run, "loss")) == [0]
    assert run.left_out.total() == 1
