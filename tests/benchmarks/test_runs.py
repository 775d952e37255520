"""Two tiny trainings, recorded and labelled: the labels are what really happened."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from benchmarks.detection import fault, task  # noqa: E402
from benchmarks.detection.loss_scale import LossScale  # noqa: E402
from benchmarks.detection.oracle import Oracle  # noqa: E402
from benchmarks.detection.recording import SPLITS  # noqa: E402
from benchmarks.detection.runs import Plan, plans, record  # noqa: E402
from benchmarks.detection.trainer import HEALTHY, Training  # noqa: E402

pytestmark = pytest.mark.torch
MLP = task.catalogue()["mlp-adam"]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_every_run_has_a_name_of_its_own() -> None:
    names = [plan.name for split in SPLITS for plan in plans(split)]
    assert len(names) == len(set(names))
    assert {case.task for case in fault.catalogue()} <= set(task.catalogue())


def test_the_test_side_holds_out_families_and_faults() -> None:
    tuning, test = ({(p.task, p.variant) for p in plans(split)} for split in SPLITS)
    tasks = [{family for family, variant in s if variant == "healthy"} for s in (tuning, test)]
    faults = [{variant for _, variant in s} for s in (tuning, test)]
    assert len(tasks[1]) >= 12
    assert len(tasks[1] - tasks[0]) >= 3
    assert len(faults[1]) >= 17
    assert len(faults[1] - faults[0]) >= 4


def test_a_step_repeated_from_a_snapshot_is_the_same_step() -> None:
    training = Training(MLP, seed=3)
    for step in range(5):
        training.step(step)
    snapshot = training.snapshot(5)
    losses = [training.step(step) for step in range(5, 9)]
    again = Training(MLP, seed=3)
    again.restore(snapshot)
    assert [again.step(step) for step in range(5, 9)] == losses


def test_what_is_recorded_is_what_torch_computed() -> None:
    training = Training(MLP, seed=3)
    (job,), meters = training.ranks, training.meters()
    norms, updates = [], []
    for step in range(4):
        before = [parameter.detach().clone() for parameter in job.parameters]
        training.step(step, meters)
        norms.append([float(torch.linalg.vector_norm(p.grad)) for p in job.parameters])
        moved = [b - p.detach() for b, p in zip(before, job.parameters, strict=True)]
        updates.append([float(torch.linalg.vector_norm(move)) for move in moved])
    stream = meters[0].stream("rank-0", ())
    assert stream.steps.tolist() == [0, 1, 2, 3]
    assert [layer["name"] for layer in meters[0].layers[:2]] == ["0.weight", "0.bias"]
    np.testing.assert_allclose(stream.stats["grad_norm"], norms, rtol=1e-5)
    np.testing.assert_allclose(stream.stats["update_norm"], updates, rtol=1e-5)
    total = np.sqrt(np.square(norms).sum(axis=1))
    np.testing.assert_allclose(stream.scalars["grad_norm"], total, rtol=1e-5)
    assert stream.scalars["lr"].tolist() == [1e-3] * 4


def test_a_nan_in_the_data_is_labelled_where_it_struck() -> None:
    place, case = next(
        (place, case)
        for place, case in enumerate(fault.catalogue())
        if case.name == "mlp-adam/nan-sample"
    )
    recording = record(Plan("tuning", "mlp-adam", "nan-sample", 1, place))
    assert recording is not None
    label, stream = recording.label, recording.writers[0]
    assert label is not None
    start = case.start(1)
    assert (label.t0, label.t_nf, label.t_irr) == (start, start, start + 1)
    assert len(stream) == start + 31
    assert np.isfinite(stream.scalars["loss"][:start]).all()
    assert np.isnan(stream.scalars["loss"][start:]).all()


def test_a_run_is_harmed_when_it_loses_half_of_what_its_twin_gained() -> None:
    twin = [4.0] * 32 + [2.0] * 96
    oracle = Oracle(MLP, 1, HEALTHY, start=64, twin=twin)
    assert not oracle.harmed([2.9] * 64)
    assert oracle.harmed([2.0] * 32 + [3.1] * 32)
    assert oracle.harmed([2.0] * 63 + [np.nan])


def test_the_loss_scale_halves_after_an_overflow_and_grows_again() -> None:
    scale = LossScale(scale=2.0**18, growth=2)
    gradient = torch.tensor([0.5, 1e-3])
    assert scale.round_trip([gradient])
    assert gradient[0] == torch.inf
    gradients = [torch.tensor([0.1, 1e-3]) for _ in range(2)]
    assert not any(scale.round_trip([gradient]) for gradient in gradients)
    assert scale.scale == 2.0**18
    assert gradients[0][1] == torch.tensor(1e-3 * 2.0**17).half().float() / 2.0**17


def test_fault_strengths_take_turns_over_the_seeds() -> None:
    for case in fault.catalogue():
        strengths = [case.fault(seed) for seed in range(1, 1 + 2 * len(case.strengths))]
        assert strengths[: len(case.strengths)] == strengths[len(case.strengths) :]
        assert all(a is not b for a, b in pairwise(strengths)) or len(case.strengths) == 1
