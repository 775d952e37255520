"""JAX trains a real model with the lines of the docs, on a real service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="JAX is not installed")
optax = pytest.importorskip("optax", reason="optax is not installed")

import jax.numpy as jnp  # noqa: E402

import gradwatch  # noqa: E402
from gradwatch.integrations.jax import watch  # noqa: E402
from gradwatch.integrations.pytree import describe  # noqa: E402
from gradwatch_service.domain import is_missing  # noqa: E402
from tests.client.conftest import RUN_ID, OpenRun  # noqa: E402
from tests.client.integrations.explosion import (  # noqa: E402
    ON_SQLITE,
    STEPS,
    assert_detected,
    documented,
    factor,
    numbers,
    series,
)
from tests.client.memory_service import MemoryService  # noqa: E402
from tests.servers import Server  # noqa: E402

pytestmark = pytest.mark.frameworks

GUARD = {
    "max_norm": 1e9,
    "skip_above": None,
    "skip_nonfinite": True,
    "max_consecutive_skips": 4,
    "expires_step": 10_000,
}
CULPRIT = "layers.1.kernel"


def parameters() -> dict[str, Any]:
    random = np.random.default_rng(0)
    sizes = [(8, 16), (16, 16), (16, 1)]
    return {
        "layers": [
            {
                "kernel": jnp.asarray(random.normal(0, n**-0.5, (n, m)), jnp.float32),
                "bias": jnp.zeros(m),
            }
            for n, m in sizes
        ]
    }


def batches(count: int) -> list[Any]:
    random = np.random.default_rng(1)
    return [jnp.asarray(random.normal(size=(16, 8)), jnp.float32) for _ in range(count)]


@jax.custom_vjp
def amplified(kernel: Any, by: Any) -> Any:
    """The kernel; its gradient is multiplied."""
    del by
    return kernel


amplified.defvjp(lambda kernel, by: (kernel, by), lambda by, grad: (grad * by, jnp.zeros_like(by)))


def loss_of(params: Any, inputs: Any, by: Any = 1.0) -> Any:
    hidden = inputs
    for number, layer in enumerate(params["layers"]):
        kernel = amplified(layer["kernel"], jnp.asarray(by)) if number == 1 else layer["kernel"]
        hidden = hidden @ kernel + layer["bias"]
        hidden = jnp.tanh(hidden) if number < 2 else hidden
    return jnp.mean((hidden - inputs.sum(1, keepdims=True)) ** 2)


def train(optimizer: Any, count: int, by: Callable[[int], float] = lambda _: 1.0) -> Any:
    """The parameters after some steps, the optimizer's state, and the gradients."""
    params = parameters()
    state = optimizer.init(params)

    @jax.jit
    def step(params: Any, state: Any, batch: Any, by: Any) -> Any:
        loss, grads = jax.value_and_grad(loss_of)(params, batch, by)
        updates, state = optimizer.update(grads, state, params, value=loss)
        return optax.apply_updates(params, updates), state, loss, grads

    losses, found = [], []
    for number, batch in enumerate(batches(count)):
        params, state, loss, grads = step(params, state, batch, jnp.float32(by(number)))
        losses.append(float(loss))
        found.append([float(jnp.linalg.norm(leaf)) for leaf in jax.tree.leaves(grads)])
    jax.effects_barrier()
    return params, state, losses, found


def armed(run: Any, service: MemoryService, **limits: Any) -> None:
    service.guard = GUARD | limits
    run.event("note")
    assert run.flush(10.0)


def steps_with(service: MemoryService, stat: str) -> list[int]:
    """The steps at which a statistic was measured."""
    return [
        int(frame.steps[row])
        for frame in (item.frame for item in service.stored)
        for row in range(len(frame))
        if stat in frame.layers and not is_missing(frame.layers[stat][row]).all()
    ]


@ON_SQLITE
def test_the_lines_of_the_docs_detect_an_explosion_in_the_right_layer(
    server: Server, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADWATCH_URL", server.url)
    factors = jnp.array([factor(step) for step in range(STEPS)])
    names: dict[str, Any] = {
        "params": parameters(),
        "loss_of": lambda params, batch: loss_of(params, batch[0], batch[1]),
        "batches": list(zip(batches(STEPS), factors, strict=True)),
    }
    exec(documented("JAX and optax"), names)  # noqa: S102
    jax.effects_barrier()
    assert_detected(http, names["run"], CULPRIT)
    assert series(http, names["run"], "loss")["steps"] == list(range(STEPS))
    names["run"].finish()


def test_the_reported_numbers_are_those_of_the_training(
    open_run: OpenRun, service: MemoryService
) -> None:
    run = open_run()
    inner = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(0.01))
    optimizer = watch(run, inner, learning_rate=0.01, clip_norm=0.5)
    params, _, losses, grads = train(optimizer, 6)
    alone, _, _, _ = train(optax.with_extra_args_support(inner), 6)
    run.finish()
    assert service.steps == [0, 1, 2, 3, 4, 5]
    np.testing.assert_allclose(service.stat("grad_norm"), grads, rtol=1e-5)
    np.testing.assert_allclose(service.scalar("loss"), losses, rtol=1e-6)
    np.testing.assert_allclose(
        service.scalar("grad_norm"), np.linalg.norm(grads, axis=1), rtol=1e-5
    )
    assert service.scalar("lr") == pytest.approx([0.01] * 6)
    assert service.scalar("clip_norm") == [0.5] * 6
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), params, alone)
    layers = service.runs[RUN_ID]["layers"]
    assert [(layer["name"], layer["kind"], layer["depth"]) for layer in layers[:4]] == [
        ("layers.0.bias", "bias", 0),
        ("layers.0.kernel", "linear", 0),
        ("layers.1.bias", "bias", 1),
        ("layers.1.kernel", "linear", 1),
    ]


@pytest.mark.parametrize(("options", "every"), [({}, 8), ({"every": 3}, 3), ({"every": 1}, 1)])
def test_weights_and_updates_are_measured_at_every_so_many_steps(
    open_run: OpenRun, service: MemoryService, options: Any, every: int
) -> None:
    run = open_run()
    train(watch(run, optax.sgd(0.1), **options), 10)
    run.finish()
    assert steps_with(service, "grad_norm") == service.steps == list(range(10))
    assert steps_with(service, "weight_norm") == list(range(0, 10, every))
    assert steps_with(service, "update_norm") == list(range(0, 10, every))
    assert service.runs[RUN_ID]["config"]["weight_norm_every"] == every


def test_the_guard_leaves_updates_out(open_run: OpenRun, service: MemoryService) -> None:
    run = open_run()
    armed(run, service, skip_above=1e-9)
    optimizer = watch(run, optax.adam(0.1))
    params, state, _, _ = train(optimizer, 4)
    jax.tree.map(np.testing.assert_array_equal, params, parameters())
    jax.tree.map(np.testing.assert_array_equal, state.inner, optimizer.init(params).inner)
    assert numbers(service, run, "skipped") == [1.0] * 4
    assert [event["action"] for event in service.events[1:]] == ["skip_step"] * 4


def test_the_guard_clips(open_run: OpenRun, service: MemoryService) -> None:
    run = open_run()
    armed(run, service, max_norm=1e-3)
    params, _, _, _ = train(watch(run, optax.sgd(1.0)), 1)
    moved = jax.tree.map(lambda a, b: a - b, params, parameters())
    assert float(optax.tree.norm(moved)) == pytest.approx(1e-3, rel=1e-2)


def test_what_is_not_finite_is_skipped_and_then_mended(
    open_run: OpenRun, service: MemoryService
) -> None:
    run = open_run()
    armed(run, service, max_consecutive_skips=2, max_norm=0.01)
    params, _, _, _ = train(watch(run, optax.sgd(1.0)), 4, lambda _: float("inf"))
    assert numbers(service, run, "skipped") == [1.0, 1.0, 0.0, 1.0]
    moved = jax.tree.map(lambda a, b: a - b, params, parameters())
    assert 0.0 < float(optax.tree.norm(moved)) < 0.011
    assert not jnp.any(moved["layers"][1]["kernel"])


def test_an_unarmed_guard_changes_nothing(open_run: OpenRun, service: MemoryService) -> None:
    run = open_run()
    params, _, _, _ = train(watch(run, optax.sgd(0.1)), 5, lambda step: 1e6 if step == 3 else 1.0)
    alone, _, _, _ = train(
        watch(run, optax.sgd(0.1), autopilot=0), 5, lambda step: 1e6 if step == 3 else 1.0
    )
    jax.tree.map(np.testing.assert_array_equal, params, alone)
    assert not service.events


def test_steps_go_on_after_a_checkpoint_and_under_accumulation(
    open_run: OpenRun, service: MemoryService
) -> None:
    run = open_run()
    optimizer = optax.MultiSteps(watch(run, optax.inject_hyperparams(optax.sgd)(0.05)), 2)
    params = parameters()
    state = optimizer.init(params)
    update, gradient = jax.jit(optimizer.update), jax.jit(jax.grad(loss_of))
    for batch in batches(6):
        updates, state = update(gradient(params, batch), state, params)
        params = optax.apply_updates(params, updates)
        state = jax.tree.map(jnp.asarray, jax.tree.map(np.asarray, state))  # saved and loaded
    jax.effects_barrier()
    assert numbers(service, run, "lr") == pytest.approx([0.05] * 3)
    assert service.steps == [0, 1, 2]


def test_half_precision_is_measured_in_32_bits(open_run: OpenRun, service: MemoryService) -> None:
    run = open_run()
    optimizer = watch(run, optax.sgd(0.1))
    params = {"w": jnp.ones((4, 4), jnp.bfloat16)}
    grads = {"w": jnp.full((4, 4), 1e30, jnp.float32).astype(jnp.bfloat16)}
    optimizer.update(grads, optimizer.init(params), params)
    jax.effects_barrier()
    run.finish()
    assert service.stat("grad_max")[0][0] == pytest.approx(1e30, rel=1e-2)
    assert service.scalar("grad_norm")[0] == float("inf")  # squares of 1e30 are beyond 32 bits


def test_a_switched_off_run_is_no_hindrance() -> None:
    off = gradwatch.init(project="lm", mode="disabled")
    params, _, _, _ = train(watch(off, optax.sgd(0.1)), 3)
    alone, _, _, _ = train(optax.with_extra_args_support(optax.sgd(0.1)), 3)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), params, alone)


def test_depths_are_told_only_where_modules_are_numbered() -> None:
    leaf = jnp.ones((2, 2))
    flax = {"params": {f"Dense_{i}": {"kernel": leaf, "bias": leaf[0]} for i in (0, 2, 10)}}
    found = {layer.name: layer.depth for layer in describe(flax)}
    assert found["params.Dense_10.kernel"] == 2
    assert found["params.Dense_2.kernel"] == 1
    named = describe({"decoder": {"kernel": leaf}, "encoder": {"kernel": leaf}})
    assert {layer.depth for layer in named} == {-1}
    assert [layer.name for layer in describe(leaf)] == ["weight"]
    assert describe({}) == []
