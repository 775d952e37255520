"""JAX whose optimizer carries the numbers: the same reports and updates as with callbacks."""

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
from gradwatch.guard import Guard, Skips, decide  # noqa: E402
from gradwatch.integrations.carried import OPEN, decided  # noqa: E402
from gradwatch.integrations.jax import carry  # noqa: E402
from tests.client.conftest import OpenRun  # noqa: E402
from tests.client.integrations.explosion import (  # noqa: E402
    ON_SQLITE,
    STEPS,
    assert_detected,
    documented,
    factor,
    series,
)
from tests.client.integrations.test_jax import (  # noqa: E402
    CULPRIT,
    armed,
    batches,
    loss_of,
    parameters,
    steps_with,
    train,
)
from tests.client.memory_service import MemoryService  # noqa: E402
from tests.servers import Server  # noqa: E402

pytestmark = pytest.mark.frameworks

ARMED = Guard(max_norm=2.0, skip_above=50.0, max_consecutive_skips=3, expires_step=300)


def carried(
    optimizer: Any, count: int, by: Callable[[int], float] = lambda _: 1.0, state: Any = None
) -> Any:
    """The parameters after some steps, the optimizer's state, losses and norms of gradients."""
    params = parameters()
    state = optimizer.init(params) if state is None else state

    def made(params: Any, state: Any, batch: Any, by: Any) -> Any:
        loss, grads = jax.value_and_grad(loss_of)(params, batch, by)
        updates, state = optimizer.update(grads, state, params, value=loss)
        return optax.apply_updates(params, updates), state, loss, grads

    step = jax.jit(made, donate_argnums=1)
    losses, found = [], []
    for number, batch in enumerate(batches(count)):
        params, state, loss, grads = step(params, state, batch, jnp.float32(by(number)))
        state = optimizer.step(state)
        losses.append(float(loss))
        found.append([float(jnp.linalg.norm(leaf)) for leaf in jax.tree.leaves(grads)])
    return params, state, losses, found


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
    exec(documented("JAX: short steps"), names)  # noqa: S102
    names["optimizer"].carrier.flush()
    assert_detected(http, names["run"], CULPRIT)
    assert series(http, names["run"], "loss")["steps"] == list(range(STEPS))
    names["run"].finish()


def test_the_reported_numbers_are_those_of_the_training(
    open_run: OpenRun, service: MemoryService
) -> None:
    run = open_run()
    inner = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(0.01))
    optimizer = carry(run, inner, learning_rate=0.01, clip_norm=0.5, every=2)
    params, _, losses, grads = carried(optimizer, 5)
    alone, _, _, _ = train(optax.with_extra_args_support(inner), 5)
    run.finish()
    assert service.steps == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(service.stat("grad_norm"), grads, rtol=1e-5)
    np.testing.assert_allclose(service.scalar("loss"), losses, rtol=1e-6)
    assert service.scalar("lr") == pytest.approx([0.01] * 5)
    assert service.scalar("clip_norm") == [0.5] * 5
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), params, alone)
    weights = [float(jnp.linalg.norm(leaf)) for leaf in jax.tree.leaves(parameters())]
    np.testing.assert_allclose(service.stat("weight_norm")[0], weights, rtol=1e-5)
    assert steps_with(service, "weight_norm") == [0, 2, 4]


def test_the_program_calls_nobody(open_run: OpenRun) -> None:
    optimizer = carry(open_run(), optax.adam(0.01))
    params = parameters()
    state = optimizer.init(params)
    shown = str(jax.make_jaxpr(optimizer.update)(params, state, params, value=1.0))
    assert "callback" not in shown


@pytest.mark.parametrize("norm", [1.0, 2.0, 8.0, 50.1, np.nan, np.inf])
@pytest.mark.parametrize("skips", [Skips(), Skips(in_a_row=3)])
def test_the_program_decides_as_the_guard_does(norm: float, skips: Skips) -> None:
    limits = (2.0, 50.0, 1.0, float(skips.allows(ARMED, 10)), ARMED.limit)
    wanted = decide(ARMED, norm, 10, skips)
    clip, skip, to = decided(jnp.array(limits), jnp.float32(norm)).tolist()
    assert clip == pytest.approx(wanted.clip, rel=1e-6)
    assert (skip > 0) == wanted.skip
    assert (None if np.isnan(to) else to) == wanted.sanitise_to
    assert decided(jnp.array(OPEN), jnp.float32(norm))[:2].tolist() == [1.0, 0.0]


def test_the_guard_leaves_updates_out_and_says_which(
    open_run: OpenRun, service: MemoryService
) -> None:
    run = open_run()
    armed(run, service, skip_above=1e3)
    params, state, _, _ = carried(
        carry(run, optax.adam(0.01)), 6, lambda number: np.nan if number == 3 else 1.0
    )
    run.finish()
    assert service.scalar("skipped")[-6:] == [0.0, 0.0, 0.0, 1.0, 0.0, 0.0]
    assert [(one["step"], one["action"]) for one in service.events[1:]] == [(3, "skip_step")]
    assert int(optax.tree_utils.tree_get(state.inner, "count")) == 5
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(params))


def test_the_guard_clips(open_run: OpenRun, service: MemoryService) -> None:
    run = open_run()
    armed(run, service, max_norm=1e-3)
    optimizer = carry(run, optax.sgd(1.0))
    state = optimizer.step(optimizer.update(parameters(), optimizer.init(parameters()))[1])
    params, _, _, _ = carried(optimizer, 1, state=state)
    run.finish()
    moved = jax.tree.map(lambda a, b: a - b, params, parameters())
    assert float(optax.tree.norm(moved)) == pytest.approx(1e-3, rel=1e-2)
    assert service.scalar("clip_norm")[-1] == pytest.approx(1e-3, rel=1e-3)


def test_an_accumulated_update_is_reported_once_under_its_own_number(
    open_run: OpenRun, service: MemoryService
) -> None:
    run = open_run()
    inner = carry(run, optax.sgd(0.05))
    optimizer = optax.MultiSteps(inner, 2)
    params = parameters()
    state = optimizer.init(params)
    update, gradient = jax.jit(optimizer.update), jax.jit(jax.grad(loss_of))
    for batch in batches(6):
        updates, state = update(gradient(params, batch), state, params)
        params = optax.apply_updates(params, updates)
        state = inner.step(state)
    run.finish()
    assert service.steps == [0, 1, 2]


def test_a_switched_off_run_is_no_hindrance() -> None:
    off = gradwatch.init(project="lm", mode="disabled")
    params, _, _, _ = carried(carry(off, optax.sgd(0.1)), 3)
    alone, _, _, _ = train(optax.with_extra_args_support(optax.sgd(0.1)), 3)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), params, alone)


def test_a_forked_child_does_not_report_the_step_of_its_parent(open_run: OpenRun) -> None:
    run = open_run()
    carried(carry(run, optax.sgd(0.1)), 1)
    run.rebuild_after_fork()
    run.finish()
    assert run.counts.observed == 0
