"""Offline runs of W&B: a file that wandb 0.31 wrote, whole, cut off and damaged."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import pytest

from gradwatch.history.past_run import PastRun
from gradwatch.history.wandb import _numbers, read
from gradwatch.history.wire import DamagedError
from tests.client.history.logs import BREAKS, STEPS, exploding

CONTENT = gzip.decompress((Path(__file__).parent / "data" / "offline-run.wandb.gz").read_bytes())
FILE = "run-8jkzfx5y.wandb"


def run_of(folder: Path, content: bytes = CONTENT) -> PastRun:
    (folder / FILE).write_bytes(content)
    (run,) = read(folder)
    return run


def test_a_run_keeps_its_name_config_tags_and_end(tmp_path: Path):
    run = run_of(tmp_path)
    assert (run.name, run.project, run.key) == ("exploding", "lm", "8jkzfx5y")
    assert run.config == {"lr": 0.1, "optimizer": "adamw"}
    assert (run.tags, run.state) == (("nightly",), "failed")


def test_its_history_is_what_was_logged(tmp_path: Path):
    run = run_of(tmp_path)
    for name in ("train/loss", "gradients/rnn", "gradients/head"):
        wanted = {step: values[name] for step, values in exploding()}
        found = {step: value.value for step, value in run.series[name].items() if step < STEPS}
        assert found == pytest.approx(wanted, rel=1e-6)
    assert math.isnan(run.series["train/loss"][130].value)
    assert run.series["train/loss"][BREAKS].time > 1.7e9
    assert not any(name.startswith("_") for name in run.series)


def test_a_histogram_leaves_its_norm_and_texts_are_counted(tmp_path: Path):
    run = run_of(tmp_path)
    assert run.series["spread#norm"][50].value == pytest.approx(5.0, rel=0.02)
    assert run.series["spread#max"][50].value == 4.0
    assert run.left_out == {"texts and media": 1}
    assert not any("spread." in name for name in run.series)


def test_a_run_that_was_cut_off_has_failed_and_keeps_what_is_whole(tmp_path: Path):
    run = run_of(tmp_path, CONTENT[:40_000])
    assert run.state == "failed"
    steps = list(run.series["train/loss"])
    assert steps == list(range(len(steps)))
    assert 40 < len(steps) < STEPS
    assert not run.left_out.keys() - {"texts and media"}


@pytest.mark.parametrize("content", [b"", b"no run", CONTENT[:200] + b"x" + CONTENT[201:]])
def test_what_is_damaged_is_said(tmp_path: Path, content: bytes):
    run = run_of(tmp_path, content)
    (reason,) = run.left_out
    assert reason.startswith(f"rest of {FILE}: ")


@pytest.mark.parametrize(
    ("counts", "edges"),
    [
        ([1, "two"], [0, 1, 2]),
        ([1, 2], [0, None, 2]),
        ([-1, -2], [0, 1, 2]),
        ([10**400, 1], [0, 1.5, 2]),
        ([1, [2]], [0, 1, 2]),
    ],
)
def test_a_histogram_of_odd_values_is_damaged(counts: list[object], edges: list[object]):
    row = {"h._type": "histogram", "h.values": counts, "h.bins": edges}
    with pytest.raises(DamagedError, match="histogram"):
        list(_numbers(PastRun("wandb", key="k", name="n"), row))
