"""JAX and optax: ``watch(run, optax.adam(1e-3))`` is an optimizer that reports what it is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

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
