"""JAX without callbacks: the optimizer's state carries numbers out of the program, and limits in.

A program that calls Python is dispatched by Python, array by array, which costs a small step more
than all norms. What is carried is read one step later, when it has been computed anyway.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from gradwatch import clock
from gradwatch.guard import Decision, Guard, Skips
from gradwatch.integrations.traced import Layout, norms
from gradwatch.layers import Layer
from gradwatch.off import OffRun
from gradwatch.records import Measured
from gradwatch.run import Run
from gradwatch.values import Float32Array, global_norm

Row: TypeAlias = Mapping[int, jax.Array]
DECISION = ("clip", "skip", "sanitise_to")
OPEN = (math.inf, math.inf, 0.0, 0.0, math.inf)  # limits that nothing exceeds


class CarriedState(NamedTuple):
    """``count``, ``inner``: as without carrying; ``numbers`` of the newest step; ``limits``."""

    count: jax.Array
    inner: Any
    numbers: jax.Array
    limits: jax.Array


@dataclass(frozen=True)
class Plan:
    """What the numbers are; ``sampled`` statistics are zero where they are not due."""

    layers: Sequence[Layer]
    lean: Mapping[str, Sequence[int]]
    sampled: Mapping[str, Sequence[int]]
    scalars: tuple[str, ...]

    @property
    def size(self) -> int:
        """How many numbers there are."""
        rows = (*self.lean.values(), *self.sampled.values())
        return sum(map(len, rows)) + len(self.scalars)


class Carrier:
    """The host's side of one watched optimizer; at most one step has not been read."""

    def __init__(self, run: Run | OffRun, *, acts: bool, every: int) -> None:
        self._run = run
        self.acts = acts and isinstance(run, Run) and jax.process_count() == 1
        self.every = every
        self.plan: Plan | None = None
        self.given: frozenset[str] = frozenset()
        self._unread: tuple[jax.Array, jax.Array] | None = None
        self._newest = -1
        self._skips = Skips()
        self._limits: tuple[float, ...] = OPEN
        if isinstance(run, Run):
            run.add_watcher(self)
            run.add_config({"weight_norm_every": every, "update_norm_every": every})

    def step(self, state: Any) -> Any:
        """Take the numbers of the newest update, report the one before; the state to go on with."""
        found = [one for one in jax.tree.leaves(state, is_leaf=_is_carried) if _is_carried(one)]
        if not found or self.plan is None or not isinstance(self._run, Run):
            return state
        kept = _kept(found[0].count, found[0].numbers)  # the job may donate its state
        self.flush()
        self._unread = kept
        limits = self._limits_of(self._run.guard)
        if limits == self._limits:
            return state
        self._limits = limits

        def renewed(one: Any) -> Any:
            return one._replace(limits=jnp.array(limits)) if _is_carried(one) else one

        return jax.tree.map(renewed, state, is_leaf=_is_carried)

    def flush(self) -> None:
        """Report the step that has not been read."""
        unread, self._unread = self._unread, None
        if unread is None:
            return
        try:
            count, numbers = int(unread[0]), np.asarray(unread[1])
        except RuntimeError as error:  # of a program that failed, and told the job so
            self._run_warns(error)
            return
        if count > self._newest:
            self._newest = count
            self._report(count - 1, numbers)

    def forget(self) -> None:
        """Drop it: this is a fork, the parent has it."""
        self._unread = None

    def _report(self, step: int, numbers: Float32Array) -> None:
        run, plan = self._run, self.plan
        if plan is None or not isinstance(run, Run):
            return
        is_due = step % self.every == 0
        every = {**plan.lean, **plan.sampled}
        layout = Layout(run.add_layers(plan.layers), every, plan.scalars)
        arrays, scalars = layout.read(numbers.astype(np.float64))
        due = self.given if is_due else frozenset()
        stats = {name: row for name, row in arrays.items() if name in plan.lean or name in due}
        known = {name: value for name, value in scalars.items() if name in self.given}
        if "grad_norm" in stats:
            known["grad_norm"] = global_norm(stats["grad_norm"])
            known |= self._heard(scalars, known["grad_norm"], step)
        run.log_measured(Measured(step, clock.now(), known, layout.columns, stats))

    def _heard(self, scalars: Mapping[str, float], norm: float, step: int) -> dict[str, float]:
        """What the guard did, as the program says."""
        clip, skip, to = (scalars[name] for name in DECISION)
        decision = Decision(clip, skip > 0, None if math.isnan(to) else to)
        self._skips = self._skips.after(decision, step)
        if not self.acts or not isinstance(self._run, Run):
            return {}
        self._run.note_decision(decision, norm, step)
        limit = {"clip_norm": clip * (norm + 1e-6)} if clip < 1.0 else {}
        return {"skipped": float(decision.skip), **limit}

    def _limits_of(self, guard: Guard) -> tuple[float, ...]:
        step = self._newest + 1
        if not self.acts or step > guard.expires_step:
            return OPEN
        return (
            guard.max_norm or math.inf,
            guard.skip_above or math.inf,
            float(guard.skip_nonfinite),
            float(self._skips.allows(guard, step)),
            guard.limit,
        )

    def _run_warns(self, error: RuntimeError) -> None:
        if isinstance(self._run, Run):
            self._run.warn("monitor", f"a report of JAX was lost: {error}")


def decided(limits: jax.Array, norm: jax.Array) -> jax.Array:
    """What ``guard.decide`` says, inside the program: clip, skip, norm to sanitise to."""
    max_norm, skip_above, skips_nonfinite, may_skip, fallback = limits
    finite = jnp.isfinite(norm)
    bad = jnp.where(finite, norm > skip_above, skips_nonfinite > 0)
    skip = bad & (may_skip > 0)
    limit = jnp.where(bad, fallback, max_norm)
    clip = jnp.where(finite & ~skip & (norm > limit), limit / (norm + 1e-6), 1.0)
    to = jnp.where(bad & ~skip & ~finite, fallback, jnp.nan)
    return jnp.stack([clip, skip.astype(jnp.float32), to])


def measured(is_due: jax.Array, weights: Any, updates: Any) -> list[jax.Array]:
    """Norms of weights and updates, computed where they are due; zeros for weights not known."""
    leaves = jax.tree.leaves(updates)
    size = 2 * len(norms(leaves))
    if not size:
        return []

    def compute() -> jax.Array:
        known = [jnp.zeros(())] * (size // 2)
        if weights is not None:
            known = list(norms(jax.tree.leaves(weights)).values())
        return jnp.stack([*known, *norms(leaves).values()]).astype(jnp.float32)

    return list(jax.lax.cond(is_due, compute, lambda: jnp.zeros(size)))


@jax.jit  # type: ignore[untyped-decorator]  # Any to mypy
def _kept(count: jax.Array, numbers: jax.Array) -> tuple[jax.Array, jax.Array]:
    return count + 0, numbers + 0


def _is_carried(one: object) -> bool:
    return isinstance(one, CarriedState)
