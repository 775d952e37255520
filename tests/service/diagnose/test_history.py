"""What is remembered of the reports besides the learning rate."""

from dataclasses import replace

import numpy as np

from gradwatch_service.diagnose.history import History, Mark
from gradwatch_service.diagnose.trials import Trial
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
    assert history.announced("checkpoint", 9) == (7,)
    assert history.announced("phase", 8) == ()


def test_keeps_64_announcements_of_the_past_and_64_of_the_future() -> None:
    events: list[dict[str, JsonValue]] = [
        {"kind": "checkpoint", "step": step} for step in range(200)
    ]
    ran = tell(healthy(101)).state.history
    kept = ran.told(events).forgot().marks
    assert [mark.step for mark in kept] == [*range(37, 101), *range(101, 165)]
    assert ran.told(events).announced("checkpoint", 100) == tuple(range(37, 101))
    before = History.empty(mlp()).told(events).forgot()
    assert [mark.step for mark in before.marks] == list(range(64))


def test_what_became_of_advice_is_known_from_its_step_on() -> None:
    stream = healthy(100)
    stream.events = (
        {"kind": "advice", "step": 40, "action": "scale_lr", "status": "applied"},
        {"kind": "advice", "step": 90, "action": "scale_lr", "status": "failed"},
    )
    at_60 = tell(replace(stream.until(60), events=stream.events)).state.history
    assert at_60.trials == {"scale_lr": Trial("applied", 40, 40, 0)}
    assert tell(stream, [41, 60]).state.history.trials == {"scale_lr": Trial("failed", 90, 40, 1)}
    assert tell(stream).state.history.words == ()


def test_words_about_the_future_wait_at_most_64_of_them() -> None:
    words: list[dict[str, JsonValue]] = [
        {"kind": "advice", "step": 500, "action": f"a{i}", "status": "applied"} for i in range(70)
    ]
    history = tell(healthy(20)).state.history.told(words).forgot()
    assert (len(history.words), history.trials) == (64, {})


def test_counts_the_skips_of_512_reports_up_to_ten() -> None:
    stream = healthy(700)
    stream.scalars["skipped"] = np.isin(np.arange(700), [10, 20, 30]) * 1.0
    history = tell(stream).state.history
    assert [history.skips_until(at) for at in (30, 521, 522, 542)] == [3, 3, 2, 0]
    stream.scalars["skipped"][300:340] = 1.0
    assert tell(stream).state.history.skips_until(699) == 10


def test_the_first_share_of_zeros_is_the_mean_over_the_layers_that_measure_it() -> None:
    stream = healthy(20)
    stream.stats["grad_zero"] = np.full((20, 6), np.nan)
    stream.stats["grad_zero"][3:, :2] = [0.25, 0.75]
    stream.stats["grad_zero"][9:] = 0.9
    assert tell(stream).state.history.zeros == 0.5
    assert tell(stream.until(3)).state.history.zeros is None


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
