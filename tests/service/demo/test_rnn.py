"""The network of the demo: its gradients are right, its numbers may overflow in silence."""

from __future__ import annotations

import numpy as np
import pytest

from gradwatch_service.demo.rnn import (
    LAYERS,
    RADIUS,
    Batch,
    Task,
    Weights,
    describe,
    forward,
    gradients_of,
    initial_weights,
    norm,
)

TASK = Task(length=7, batch=3)


def in_double(values: Weights) -> dict[str, np.ndarray]:
    """Weights large enough for every layer to matter, in double precision for differences."""
    random = np.random.default_rng(5)
    return {
        name: value.astype(np.float64) + 0.2 * random.standard_normal(value.shape)
        for name, value in values.items()
    }


@pytest.fixture
def batch() -> Batch:
    drawn = TASK.draw(3, 0)
    return Batch(drawn.inputs.astype(np.float64), drawn.targets.astype(np.float64))


@pytest.fixture
def weights() -> dict[str, np.ndarray]:
    return in_double(initial_weights(3, hidden=5))


def loss_with(
    weights: Weights, batch: Batch, name: str, place: tuple[int, ...], by: float
) -> float:
    moved = weights[name].copy()
    moved[place] += by
    output = forward({**weights, name: moved}, batch.inputs).output
    return float(np.mean((output - batch.targets) ** 2))


@pytest.mark.parametrize("name", LAYERS)
def test_the_backward_pass_agrees_with_finite_differences(
    name: str, weights: dict[str, np.ndarray], batch: Batch
) -> None:
    gradient = gradients_of(weights, batch, TASK.length).by_layer[name]
    assert gradient.shape == weights[name].shape
    by = 1e-6
    for place in np.ndindex(gradient.shape):
        rise = loss_with(weights, batch, name, place, by) - loss_with(
            weights, batch, name, place, -by
        )
        assert gradient[place] == pytest.approx(rise / (2 * by), rel=1e-5, abs=1e-8)


def test_the_profile_through_time_agrees_with_finite_differences(
    weights: dict[str, np.ndarray], batch: Batch
) -> None:
    """∂L/∂h_t by moving the state after the first time step and running the rest."""
    states = forward(weights, batch.inputs).states
    rest = Batch(batch.inputs[1:], batch.targets)

    def loss_from(state: np.ndarray) -> float:
        pushed = rest.inputs @ weights["W_xh"].T
        pushed[0] += state @ weights["W_hh"].T
        driven = {**weights, "W_xh": np.eye(5)}
        output = forward(driven, pushed).output
        return float(np.mean((output - batch.targets) ** 2))

    by, gradient = 1e-6, np.empty_like(states[1])
    for place in np.ndindex(gradient.shape):
        move = np.zeros_like(gradient)
        move[place] = by
        gradient[place] = (loss_from(states[1] + move) - loss_from(states[1] - move)) / (2 * by)
    profile = gradients_of(weights, batch, TASK.length).through_time
    assert len(profile) == TASK.length
    assert profile[0] == pytest.approx(norm(gradient), rel=1e-6)


def test_a_shorter_horizon_leaves_the_earlier_time_steps_out(
    weights: dict[str, np.ndarray], batch: Batch
) -> None:
    full, cut = (gradients_of(weights, batch, horizon) for horizon in (TASK.length, 2))
    assert cut.through_time == pytest.approx(full.through_time[-2:])
    assert cut.by_layer["W_hy"] == pytest.approx(full.by_layer["W_hy"])


def test_where_no_unit_is_below_zero_the_gradient_grows_by_the_radius_per_time_step() -> None:
    weights = {name: np.abs(one) for name, one in initial_weights(1, hidden=8).items()}
    drawn = Task().draw(1, 0)
    positive = Batch(np.abs(drawn.inputs), drawn.targets)
    profile = gradients_of(weights, positive, 60).through_time
    assert profile[:-1] / profile[1:] == pytest.approx(np.full(59, RADIUS), rel=1e-5)


def test_the_same_seed_and_step_give_the_same_batch() -> None:
    one, again, other = (Task().draw(4, step) for step in (9, 9, 10))
    assert np.array_equal(one.inputs, again.inputs)
    assert np.array_equal(one.targets, again.targets)
    assert not np.array_equal(one.inputs, other.inputs)
    assert one.inputs.shape == (60, 32, 1)
    assert one.targets.shape == (32, 1)
    assert one.inputs.dtype == np.float32


def test_early_movements_weigh_most_in_the_final_balance() -> None:
    drawn = Task(length=3, batch=1, growth=2.0).draw(0, 0)
    movements = drawn.inputs[:, 0, 0].astype(np.float64)
    weighed = np.array([4, 2, 1]) / np.sqrt(21) @ movements
    assert drawn.targets[0, 0] == pytest.approx(weighed, rel=1e-6)


def test_the_layers_are_described_as_they_are() -> None:
    described = {one["name"]: one for one in describe(initial_weights(0, 40))}
    assert {name: one["kind"] for name, one in described.items()} == {
        "W_xh": "linear",
        "W_hh": "recurrent",
        "b_h": "bias",
        "W_hy": "head",
        "b_y": "bias",
    }
    assert described["W_hh"]["shape"] == [40, 40]
    assert described["W_hy"]["shape"] == [1, 40]
    assert described["W_hh"]["activation"] == "leakyrelu"


def test_numbers_too_large_for_a_float_become_infinite_without_a_warning() -> None:
    huge = {name: one * np.float32(1e30) for name, one in initial_weights(1, 8).items()}
    gradients = gradients_of(huge, Task().draw(1, 0), 60)
    assert not np.isfinite(gradients.loss)
    assert not np.isfinite(gradients.norm)
