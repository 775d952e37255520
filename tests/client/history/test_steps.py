"""Series become steps in order, in requests that are not too large."""

from __future__ import annotations

import math

import pytest

from gradwatch.history import steps
from gradwatch.history.mapping import Target, read_rules
from gradwatch.history.past_run import PastRun, Value
from gradwatch.history.steps import plan


def past(**series: dict[int, float]) -> PastRun:
    run = PastRun("test", key="k", name="n")
    for name, values in series.items():
        for step, value in values.items():
            run.add(name.replace("__", "/"), step, Value(100.0 + step, value))
    return run


def test_series_of_one_step_are_put_together():
    run = past(train__loss={1: 2.0, 0: 1.0}, gradients__fc={1: math.inf}, eval__loss={0: 3.0})
    (batch,) = plan(run).batches()
    assert batch == [
        {"step": 0, "time": 100.0, "loss": 1.0, "eval/loss": 3.0},
        {"step": 1, "time": 101.0, "loss": 2.0, "layers": {"fc": {"grad_norm": "Infinity"}}},
    ]


def test_of_several_that_are_the_same_the_first_rule_decides_and_then_the_name():
    short, long = {0: 1.0}, {0: 2.0, 1: 2.0}
    both = {"loss": ["loss"], "train/loss": ["train/loss"]}
    for one, other in [(short, long), (long, short)]:
        found = plan(past(train__loss=one, loss=other))
        assert (found.mapped, found.left_out) == (both, {})
        assert found.series[Target("loss")][0].value == other[0]
    found = plan(past(a=long, loss=long, z=short), read_rules(["z=loss", "a=loss"]))
    assert found.series[Target("loss")][0].value == 1.0
    assert (found.mapped["loss"], found.mapped["a"]) == (["z"], ["a"])
    assert found.left_out == {"loss": 2}


def test_a_series_keeps_its_own_name_only_if_that_can_be_one():
    rules = read_rules(["a=loss", "step=loss", "layers=loss", "b\nc=loss"])
    run = past(**{name: {0: 1.0, 1: 2.0} for name in ("a", "step", "layers", "b\nc")})
    found = plan(run, rules)
    assert found.left_out == {"step": 2, "layers": 2, "b\nc": 2}
    assert [step["step"] for batch in found.batches() for step in batch] == [0, 1]


def test_what_is_left_out_is_counted():
    found = plan(past(activations__fc={0: 1.0}, step={0: 1.0, 1: 2.0}))
    assert found.left_out == {"step": 2}
    assert found.mapped == {"activations/fc": ["activations/fc"]}


def test_a_request_has_neither_too_many_steps_nor_too_many_values(
    monkeypatch: pytest.MonkeyPatch,
):
    run = past(loss=dict.fromkeys(range(2 * steps.BATCH_STEPS + 1), 1.0))
    sizes = [len(batch) for batch in plan(run).batches()]
    assert sizes == [steps.BATCH_STEPS, steps.BATCH_STEPS, 1]
    monkeypatch.setattr(steps, "BATCH_VALUES", 5)
    layers = {f"gradients__{layer}": {0: 1.0, 1: 1.0} for layer in range(3)}
    assert [len(batch) for batch in plan(past(**layers)).batches()] == [1, 1]
