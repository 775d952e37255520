"""Orders carried out one by one, on a real optimizer."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from gradwatch.actions import Actions  # noqa: E402
from gradwatch.autopilot.order import Order  # noqa: E402
from gradwatch.integrations.bench import Bench  # noqa: E402
from gradwatch.integrations.hands import Hands  # noqa: E402
from gradwatch.integrations.module_tree import describe  # noqa: E402
from gradwatch.watching import Means  # noqa: E402

pytestmark = pytest.mark.torch


def bench_of(**means: Any) -> Bench:
    model = torch.nn.Linear(4, 4)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    return Bench.of(describe(model), optimizer, Means(3, **means), 0)


def halve(key: str) -> Order:
    return Order("apply", 0, "scale_lr", key, {"factor": 0.5}, "applied")


def test_what_is_in_force_is_known_and_taken_back_one_by_one() -> None:
    bench = bench_of()
    hands = Hands(bench)
    for order in (halve("a"), halve("b"), Order("apply", 0, "set_adam", "c", {"beta2": 0.9})):
        assert hands.carry_out(order)
    assert (hands.applied, bench.rate.effective(1.0)) == (
        ("scale_lr", "scale_lr", "set_adam"),
        0.25,
    )
    assert hands.carry_out(Order("undo", 1, id="a"))
    assert (hands.applied, bench.rate.effective(1.0)) == (("scale_lr", "set_adam"), 0.5)
    assert hands.carry_out(Order("undo", 1, id="never applied"))
    hands.let_go()
    assert (hands.applied, bench.rate.effective(1.0)) == ((), 1.0)
    assert not bench.optimizer._optimizer_step_pre_hooks


def test_a_rate_is_released_reclaimed_and_forgotten() -> None:
    bench = bench_of()
    hands = Hands(bench)
    hands.carry_out(halve("a"))
    hands.carry_out(Order("apply", 0, "set_adam", "c", {"beta2": 0.9}))
    hands.carry_out(Order("release", 0))
    bench.rate.step = 256
    assert bench.rate.effective(1.0) == pytest.approx(0.5**0.5)
    hands.carry_out(Order("reclaim", 256))
    assert bench.rate.effective(1.0) == 0.5
    hands.carry_out(Order("forget", 256))
    assert (bench.rate.effective(1.0), hands.applied) == (1.0, ("set_adam",))


def test_what_leaves_no_trace_is_not_in_force() -> None:
    hands = Hands(bench_of(save=lambda _step: None))
    assert hands.carry_out(Order("apply", 3, "checkpoint_now", "a"))
    assert hands.applied == ()


def test_a_checkpoint_that_could_not_be_saved_is_not_told() -> None:
    hands, actions = Hands(bench_of(save=lambda step: step < 5)), Actions()
    told = []
    for step in (4, 5):
        order = Order("save", step)
        told.append(actions.note(order, done=hands.carry_out(order)))
    assert told == [[("checkpoint", {})], []]


def test_an_order_without_a_status_is_not_told() -> None:
    actions = Actions()
    assert actions.note(Order("forget", 3, "scale_lr"), done=True) == []
    assert actions.newest == []
