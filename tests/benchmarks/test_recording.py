"""A recording keeps every bit, says which values were not measured, and repeats exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from benchmarks.detection.recording import Label, Recording, Stream, columns, load, save, tables

from gradwatch_service.domain import MISSING32, MISSING64, is_missing

LABEL = Label("lr-jump", 3, None, 9, ("learning-rate-jump",), True, False, True)


def recording() -> Recording:
    stream = Stream(
        name="rank-0",
        steps=np.arange(3),
        time=np.array([0.5, 1.0, 1.25]),
        scalars={"loss": np.array([1.0, np.nan, MISSING64])},
        stats={"grad_norm": np.array([[1.0], [np.inf], [MISSING32]], np.float32)},
        profiles={"time": np.ones((3, 4), np.float32)},
        events=({"kind": "phase", "step": 1},),
        resumed_at=2,
    )
    layer = {"name": "w", "kind": "linear", "shape": [4, 2]}
    return Recording("mlp", "lr-jump", 7, "tuning", (layer,), {"lr": 0.1}, (stream,), LABEL)


def test_what_is_loaded_is_what_was_saved(tmp_path: Path) -> None:
    before = recording()
    path = save(before, tmp_path)
    after = load(path)
    assert path == tmp_path / "tuning" / "mlp--lr-jump--7.npz"
    assert (after.layers, after.config, after.label) == (before.layers, before.config, LABEL)
    old, new = before.writers[0], after.writers[0]
    assert (new.name, new.events, new.resumed_at) == ("rank-0", old.events, 2)
    assert new.scalars["loss"].tobytes() == old.scalars["loss"].tobytes()
    assert new.stats["grad_norm"].tobytes() == old.stats["grad_norm"].tobytes()
    np.testing.assert_array_equal(new.profiles["time"], old.profiles["time"])


def test_what_a_report_lacks_is_missing_and_not_a_nan() -> None:
    found = columns([{"loss": 1.0}, {"loss": np.nan, "lr": 0.1}])
    assert is_missing(found["lr"]).tolist() == [True, False]
    assert is_missing(found["loss"]).tolist() == [False, False]


def test_profiles_of_different_lengths_end_in_missing() -> None:
    short, long = np.ones(2, np.float32), np.ones(3, np.float32)
    found = tables([{"time": short}, {}, {"time": long}])["time"]
    assert is_missing(found).tolist() == [
        [False, False, True],
        [True, True, True],
        [False, False, False],
    ]
