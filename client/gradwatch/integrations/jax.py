"""JAX and optax: ``watch(run, optax.adam(1e-3))`` is an optimizer that reports what it is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gradwatch.integrations.carried import (
    DECISION,
    OPEN,
    CarriedState,
    Carrier,
    Plan,
    decided,
    measured,
)
from gradwatch.integrations.pytree import describe
from gradwatch.integrations.traced import (
    SELDOM_STEPS,
    Traced,
    chosen,
    largest_halves,
    mended,
    norms,
    total,
)
from gradwatch.off import OffRun
from gradwatch.run import Run


class GradwatchState(NamedTuple):
    """``count``: the updates so far, skipped ones too; ``inner``: of the watched optimizer."""

    count: jax.Array
    inner: Any


def watch(
    run: Run | OffRun,
    optimizer: optax.GradientTransformation,
    *,
    autopilot: int | None = None,
    learning_rate: optax.ScalarOrSchedule | None = None,
    clip_norm: float | None = None,
    every: int = SELDOM_STEPS,
) -> optax.GradientTransformationExtraArgs:
    """An optimizer that does what this one does, reports each update, and applies the guard.

    Its ``update`` takes the loss as ``value=``. It may be compiled, sharded and wrapped in
    ``optax.MultiSteps``. Steps are counted by its state, so they go on after a checkpoint.

    Args:
        run: From ``gradwatch.init``.
        optimizer: Any transformation of optax; whatever clips belongs inside.
        autopilot: 0 only observes; 1 and above clip and skip, more is not done here
            (default: ``GRADWATCH_AUTOPILOT``, then 1).
        learning_rate: The number or schedule, to be reported; that of
            ``optax.inject_hyperparams`` is found.
        clip_norm: The limit to which ``optimizer`` clips, to be reported.
        every: Norms of gradients come at each step, those of weights and updates every so many.
    """
    acts = (run.autopilot if autopilot is None else autopilot) > 0
    link = Traced(run, acts=acts, every=max(1, every))
    inner = optax.with_extra_args_support(optimizer)
    watched = _Watched(inner, link, learning_rate, clip_norm)
    return optax.GradientTransformationExtraArgs(watched.init, watched.update)


class Carrying(optax.GradientTransformationExtraArgs):  # type: ignore[misc]  # Any to mypy
    """An optimizer whose state carries the numbers of each update; made by ``carry``."""

    carrier: Carrier

    def step(self, state: Any) -> Any:
        """Report the update before the newest one; returns the state to go on with.

        Call it once after each update, outside of what is compiled. It does not wait.
        """
        return self.carrier.step(state)


def carry(
    run: Run | OffRun,
    optimizer: optax.GradientTransformation,
    *,
    autopilot: int | None = None,
    learning_rate: optax.ScalarOrSchedule | None = None,
    clip_norm: float | None = None,
    every: int = SELDOM_STEPS,
) -> Carrying:
    """What ``watch`` does without a call from the program to the host, for steps that are short.

    The training loop hands the state over: ``state = optimizer.step(state)`` after each update. The
    arguments are those of ``watch``.
    """
    acts = (run.autopilot if autopilot is None else autopilot) > 0
    carrier = Carrier(run, acts=acts, every=max(1, every))
    inner = optax.with_extra_args_support(optimizer)
    carried = _Carried(inner, carrier, learning_rate, clip_norm)
    made = Carrying(carried.init, carried.update)
    made.carrier = carrier
    return made


@dataclass(frozen=True)
class _Carried:
    inner: Any
    carrier: Carrier
    learning_rate: Any
    clip_norm: float | None

    def init(self, params: optax.Params) -> CarriedState:
        start = jnp.zeros((), jnp.int32), self.inner.init(params)
        return CarriedState(*start, jnp.zeros(_plan(params).size), jnp.array(OPEN))

    def update(
        self,
        grads: optax.Updates,
        state: CarriedState,
        params: optax.Params | None = None,
        **extra: Any,
    ) -> tuple[optax.Updates, CarriedState]:
        self.carrier.plan = _plan(grads)  # what is restored was never initialised here
        leaves, tree = jax.tree.flatten(grads)
        found = norms(leaves)
        decision = decided(state.limits, total(found))
        if self.carrier.acts:
            grads = jax.tree.unflatten(tree, mended(leaves, decision))
        updates, inner = self.inner.update(grads, state.inner, params, **extra)
        rate = _rate(self.learning_rate, state.count, inner)
        if self.carrier.acts:
            updates = chosen(decision[1], jax.tree.map(jnp.zeros_like, updates), updates)
            inner = chosen(decision[1], state.inner, inner)
        given = {"loss": extra.get("value"), "lr": rate, "clip_norm": self.clip_norm}
        known = given | {"weight_norm": params, "update_norm": updates}
        self.carrier.given = frozenset(name for name, one in known.items() if one is not None)
        parts = [
            *found.values(),
            *largest_halves(leaves).values(),
            *measured(state.count % self.carrier.every == 0, params, updates),
            *(0.0 if one is None else jnp.mean(jnp.asarray(one)) for one in given.values()),
            *decision,
        ]
        numbers = jnp.stack([jnp.asarray(part, jnp.float32) for part in parts])
        count = optax.safe_increment(state.count)
        return updates, CarriedState(count, inner, numbers, state.limits)


def _plan(tree: Any) -> Plan:
    """What is measured of parameters, or of gradients like them."""
    leaves = jax.tree.leaves(tree)
    every = tuple(norms(leaves))
    halves = tuple(largest_halves(leaves))
    return Plan(
        layers=describe(tree),
        lean={"grad_norm": every, **({"grad_max": halves} if halves else {})},
        sampled={"weight_norm": every, "update_norm": every},
        scalars=("loss", "lr", "clip_norm", *DECISION),
    )


@dataclass(frozen=True)
class _Watched:
    inner: Any
    link: Traced
    learning_rate: Any
    clip_norm: float | None

    def init(self, params: optax.Params) -> GradwatchState:
        return GradwatchState(jnp.zeros((), jnp.int32), self.inner.init(params))

    def update(
        self,
        grads: optax.Updates,
        state: GradwatchState,
        params: optax.Params | None = None,
        **extra: Any,
    ) -> tuple[optax.Updates, GradwatchState]:
        leaves, tree = jax.tree.flatten(grads)
        measured = norms(leaves)
        decision = self.link.ask(state.count, total(measured))
        scalars = {"clip_norm": self.clip_norm, "loss": extra.get("value")}
        if self.link.acts:
            grads = jax.tree.unflatten(tree, mended(leaves, decision))
            scalars["skipped"] = decision[1]
        updates, inner = self.inner.update(grads, state.inner, params, **extra)
        scalars["lr"] = _rate(self.learning_rate, state.count, inner)
        if self.link.acts:
            updates = chosen(decision[1], jax.tree.map(jnp.zeros_like, updates), updates)
            inner = chosen(decision[1], state.inner, inner)
        stats = {"grad_norm": measured, "grad_max": largest_halves(leaves)}
        self.link.report(
            state.count,
            describe(grads),
            stats,
            scalars,
            sampled=lambda: {
                "weight_norm": norms(jax.tree.leaves(params)),
                "update_norm": norms(jax.tree.leaves(updates)),
            },
        )
        return updates, GradwatchState(optax.safe_increment(state.count), inner)


def _rate(given: Any, count: jax.Array, state: Any) -> Any:
    """The learning rate of this update, if it can be known."""
    if given is not None:
        return given(count) if callable(given) else given
    try:
        return optax.tree_utils.tree_get(state, "learning_rate")
    except KeyError:  # several of them
        return None
