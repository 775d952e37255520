"""What is remembered of the reports besides the learning rate."""

import numpy as np

from gradwatch_service.diagnose.history import History, Mark
from gradwatch_service.domain import JsonValue, LayerTable
from tests.service.diagnose.faults import data_outlier, fp16_overflow, spikes
from tests.service.diagnose.streams import healthy, mlp, tell


def test_the_increment_is_the_median_distance_and_at_least_one() -> None:
    assert History.empty(mlp()).increment == 1
    stream = healthy(40)
    stream.stride = 5
    assert tell(stream).state.history.increment == 5
    stream.stride = 0
    assert tell(stream).state.history.increment == 1


def test_keeps_the_last_65_steps() -> None:
    steps = tell(healthy(200)).state.history.steps
    assert (len(steps), steps[0], steps[-1]) == (65, 135, 199)


def test_notes_checkpoints_and_phases_and_nothing_else() -> None:
    history = History.empty(mlp()).told(
        [
            {"kind": "checkpoint", "step": 7},
            {"kind": "note", "step": 8},
            {"kind": "phase", "step": 9},
            {"kind": "phase"},
        ]
    )
    assert history.marks == (Mark("checkpoint", 7), Mark("phase", 9))
    assert history.forgot() is history


def test_forgets_all_but_eight_announcements_between_frames() -> None:
    events: list[dict[str, JsonValue]] = [
        {"kind": "checkpoint", "step": step} for step in range(20)
    ]
    kept = History.empty(mlp()).told(events).forgot().marks
    assert [mark.step for mark in kept] == list(range(12, 20))


def test_the_largest_gradient_is_the_newest_finite_one() -> None:
    stream = fp16_overflow()
    assert tell(stream.until(198)).state.history.largest == 1 / 32
    assert tell(stream.until(201)).state.history.largest == 0.75
    assert tell(healthy(20)).state.history.largest is None


def test_counts_spikes_once_each_within_1024_reports() -> None:
    assert tell(data_outlier()).state.history.spikes == (200,)
    assert tell(spikes(300, 500, reports=600)).state.history.spikes == (300, 500)
    history = History.empty(mlp()).struck(5).struck(21)
    assert history.spikes == (5,)
    assert [history.spikes_until(at) for at in (30, 1028, 1029)] == [1, 1, 0]
    assert history.struck(1029).spikes == (1029,)


def test_the_same_table_is_not_rearranged_and_another_one_is_by_name() -> None:
    history = tell(healthy(40)).state.history
    assert history.grown(mlp()) is history
    names = LayerTable((*mlp(7).layers[6:], *mlp().layers))
    grown = history.grown(names)
    assert np.array_equal(grown.heat.first[1:], history.heat.first)
