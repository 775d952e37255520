"""Recordings replayed, judged, tuned against and tabled, on runs made of numbers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks.detection import entry, look, ours, page, table
from benchmarks.detection.judge import Entry, Theirs, about, judge
from benchmarks.detection.log import attempts
from benchmarks.detection.measures import Judged
from benchmarks.detection.recording import Label, Recording, Stream, save
from benchmarks.detection.tune import FACTORS, PUBLISHED, retuned

from tests.streams import MLP, Scenario, level, training

N, ONSET = 480, 300
FAULT = Label(
    "growth", ONSET, None, N - 1, ("learning-rate-too-high",), True, True, repairable=True
)


def growing() -> Scenario:
    return training(N).scaled(level(N, ONSET, 12.0, over=N - ONSET))


def recorded(
    scenario: Scenario, label: Label | None = None, *, split: str = "test", stride: int = 1
) -> Recording:
    frame = scenario.frame
    stream = Stream("rank-0", frame.steps * stride, frame.time, frame.scalars, frame.layers)
    layers = tuple(layer.as_json() for layer in MLP.layers)
    variant = label.fault if label else "healthy"
    return Recording("mlp", variant, 1, split, layers, {}, (stream,), label)


def test_a_replay_tells_the_same_in_any_batches() -> None:
    run = recorded(growing(), FAULT)
    told = ours.replay(run)
    assert told.lines
    for cuts in (range(1, N), [7, 33, 301, 340]):
        other = ours.replay(run, cuts)
        assert (other.lines, other.told) == (told.lines, told.told)


def test_a_growth_is_paged_at_the_report_that_shows_it() -> None:
    judged = judge_all(recorded(growing(), FAULT)).found
    told = ours.replay(recorded(growing(), FAULT))
    paged = next(line for line in told.lines if line.state == "firing" and line.actionable)
    assert judged.detected == paged.step
    assert ONSET < paged.step < N
    assert paged.causes[0] == paged.cause
    assert judged.verdict is not None


def judge_all(run: Recording) -> Entry:
    return Entry(about(run), ours.replay(run))


def test_a_report_every_tenth_step_stands_for_ten() -> None:
    case = about(recorded(training(N), stride=10))
    assert (case.interval, case.healthy_steps, case.end) == (10, 4800, 4790)
    assert about(recorded(training(N), FAULT)).healthy_steps == ONSET


def test_a_resumed_job_is_a_new_writer_and_its_old_alerts_are_over() -> None:
    run = recorded(growing(), FAULT)
    first = run.writers[0]
    calm = recorded(training(N)).writers[0]
    again = replace(calm, name="rank-0b", steps=calm.steps + 400, resumed_at=400)
    resumed = replace(run, writers=(first, again))
    assert attempts(resumed.writers) == [0, 1]
    assert about(replace(resumed, label=None)).healthy_steps == 2 * N


def two_ranks(*, bits: float) -> Recording:
    """The norm of the second is larger by so many bits from the onset on."""
    run = recorded(training(N))
    first = run.writers[0]
    norm = first.scalars["grad_norm"] * level(N, ONSET, bits)
    second = replace(first, name="rank-1", scalars={**first.scalars, "grad_norm": norm})
    return replace(run, writers=(first, second))


def test_ranks_side_by_side_are_one_stretch_of_steps() -> None:
    assert about(two_ranks(bits=0.0)).healthy_steps == N


def test_ranks_are_compared_with_each_other_under_any_batching() -> None:
    told = ours.replay(two_ranks(bits=0.01))
    assert ("hardware-or-rank", ONSET + 1) in {(line.cause, line.step) for line in told.lines}
    assert ours.replay(two_ranks(bits=0.01), [5, 250, 299, 303]).told == told.told
    assert not ours.replay(two_ranks(bits=0.0)).lines


def theirs(*false_alarms: int) -> Theirs:
    """One run of 10,000 healthy steps with this many false alarms from the laxest setting on."""
    counts = [*false_alarms, *[0] * (len(FACTORS) - len(false_alarms))]
    judged = [
        Judged("mlp", None, 10_000, 1, 9_999, tuple(range(0, 100 * count, 100))) for count in counts
    ]
    return Theirs(tuple(judged), 1.0)


@pytest.mark.parametrize(
    ("false_alarms", "limit", "place"),
    [((9, 5, 1), 0.5, 3), ((9, 5, 1), 1.0, 2), ((1, 9, 1), 1.0, 2), ((), 0.5, 0)],
)
def test_the_laxest_threshold_within_the_limit_is_taken(
    false_alarms: tuple[int, ...], limit: float, place: int
) -> None:
    assert retuned([theirs(*false_alarms)], limit) == place


def test_a_baseline_that_is_never_calm_cannot_be_tuned() -> None:
    assert retuned([theirs(*[3] * len(FACTORS))], 2.0) is None
    assert FACTORS[PUBLISHED] == 1.0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a healthy and a faulty recording of each split."""
    monkeypatch.chdir(tmp_path)
    for split in ("tuning", "test"):
        save(recorded(training(N), split=split))
        save(recorded(growing(), FAULT, split=split))
    return tmp_path


def test_the_tables_have_ours_first_and_every_baseline(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = look.paths(("tuning", "test"), "")
    entries = [entry.enter(path, place) for place, path in enumerate(paths)]
    assert [one.identical for one in entries] == [True, None, None, None]
    page.write(table.tables(entries))
    text = capsys.readouterr().out
    assert (folder / "build/detection.md").read_text() + "\n" == text
    tables = json.loads((folder / "build/detection.json").read_text())
    methods = [row["method"] for row in tables["Methods"]]
    assert methods[0] == "**Gradwatch**"
    assert len(methods) == 11
    assert tables["Methods"][0]["recall"] == 1.0
    assert tables["Gradwatch by fault"][0]["fault"] == "growth"
    assert tables["False alarms by family"][0]["healthy steps"] == N


@pytest.mark.usefixtures("folder")
def test_one_can_look_into_runs(capsys: pytest.CaptureFixture[str]) -> None:
    look.show(["mlp--growth--1"], "300:302")
    shown = capsys.readouterr().out
    assert "test mlp--growth--1: growth from 300" in shown
    assert "rule gradient-growth" in shown
    assert np.count_nonzero([line.startswith("       30") for line in shown.splitlines()]) == 6
    judged = [judge(path) for path in look.paths(("test",), "")]
    look.false_alarms(judged)
    look.misses(judged)
    assert "1 faulty runs" in capsys.readouterr().out
