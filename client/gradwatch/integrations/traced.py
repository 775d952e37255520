"""Inside a program that JAX compiles: norms, the guard's answer, and a report that nobody awaits.

What runs on the host here is called by the running program, so nothing of it may raise.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import io_callback
from numpy.typing import NDArray

from gradwatch import clock
from gradwatch.layers import Layer
from gradwatch.off import OffRun
from gradwatch.records import Measured
from gradwatch.run import Run
from gradwatch.values import Float32Array, FloatArray, global_norm, missing32, narrow

HALF = (jnp.float16, jnp.bfloat16)
REMEMBERED_STEPS = 8
SELDOM_STEPS = 8  # nobody can tell how long a step takes in a program that is compiled
PASS = (1.0, 0.0, math.nan)  # the factor of the clip, 1 to skip, the norm to sanitise to


Row: TypeAlias = Mapping[int, jax.Array]  # layer by number -> value


@dataclass(frozen=True)
class Layout:
    """What the numbers of a report are: rows of the layers by statistic, then scalars."""

    columns: NDArray[np.int64]
    rows: Mapping[str, Sequence[int]]
    scalars: tuple[str, ...]

    def read(self, numbers: FloatArray) -> tuple[dict[str, Float32Array], dict[str, float]]:
        """Statistic -> float32[L], and the scalars."""
        arrays = {}
        for name, rows in self.rows.items():
            arrays[name] = missing32(len(self.columns))
            arrays[name][list(rows)] = narrow(numbers[: len(rows)])
            numbers = numbers[len(rows) :]
        return arrays, dict(zip(self.scalars, numbers.tolist(), strict=True))


class Traced:
    """The link between compiled steps and a run.

    ``acts``: the guard may be applied; ``every``: at so many steps all is measured; ``log``: what
    to do with a report (default: log it).
    """

    def __init__(
        self,
        run: Run | OffRun,
        *,
        acts: bool,
        every: int = SELDOM_STEPS,
        log: Callable[[Measured], None] | None = None,
    ) -> None:
        self._run = run
        self.every = every
        self._log = log or getattr(run, "log_measured", None)
        self._newest = -1
        self._decisions: dict[int, tuple[float, float, float]] = {}
        # Processes would decide differently: which limits one knows of depends on when it asked.
        self.acts = acts and isinstance(run, Run) and jax.process_count() == 1
        if isinstance(run, Run):
            run.add_watcher(self)
            run.add_config({"weight_norm_every": every, "update_norm_every": every})

    def report(
        self,
        step: jax.Array,
        layers: Sequence[Layer],
        stats: Mapping[str, Row],
        scalars: Mapping[str, Any],
        *,
        sampled: Callable[[], Mapping[str, Row]],
    ) -> None:
        """Send numbers to the host as soon as they are computed; the program does not wait.

        ``stats``: statistic -> layer by number -> value; ``sampled``: those that are computed only
        at every ``every``-th step.
        """
        if not isinstance(self._run, Run):
            return
        columns = self._run.add_layers(layers)
        given = {name: value for name, value in scalars.items() if value is not None}
        send = functools.partial(self._send, columns, step, given)
        if self.every == 1:
            send({**stats, **sampled()})
            return
        is_due = step % self.every == 0
        jax.lax.cond(is_due, lambda: send({**stats, **sampled()}), lambda: send(stats))

    def ask(self, step: jax.Array, norm: jax.Array) -> jax.Array:
        """The three numbers of ``PASS``; the program waits for them. Asking once is cheapest."""
        if not self.acts:
            return jnp.array(PASS, jnp.float32)
        return io_callback(self._decide, jax.ShapeDtypeStruct((3,), jnp.float32), step, norm)

    def flush(self) -> None:
        """Wait for the reports of programs that are still running."""
        try:
            jax.effects_barrier()
        except RuntimeError as error:  # of a program that failed, and told the job so
            self._run_warns(error)

    def forget(self) -> None:
        """Nothing is held back."""

    def _run_warns(self, error: RuntimeError) -> None:
        if isinstance(self._run, Run):
            self._run.warn("monitor", f"reports of JAX were lost: {error}")

    def _send(
        self,
        columns: NDArray[np.int64],
        step: jax.Array,
        scalars: Mapping[str, Any],
        stats: Mapping[str, Row],
    ) -> None:
        layout = Layout(columns, {name: tuple(row) for name, row in stats.items()}, tuple(scalars))
        every = [*(value for row in stats.values() for value in row.values()), *scalars.values()]
        singles = [jnp.mean(jnp.asarray(value, jnp.float32)) for value in every]
        numbers = jnp.stack(singles) if singles else jnp.zeros(0)
        jax.debug.callback(functools.partial(self._receive, layout), step, numbers)

    def _decide(self, step: Any, norm: Any) -> Float32Array:
        """Once a step, although several devices may ask."""
        number = int(step)
        if number not in self._decisions:
            decision = self._run.decide(float(norm), number)
            to = math.nan if decision.sanitise_to is None else decision.sanitise_to
            self._decisions[number] = (decision.clip, float(decision.skip), to)
            self._decisions.pop(number - REMEMBERED_STEPS, None)
        return np.array(self._decisions[number], np.float32)

    def _receive(self, layout: Layout, step: Any, numbers: Any) -> None:
        """Once a step, although several devices may report it."""
        number = int(step)
        if number <= self._newest or self._log is None:
            return
        self._newest = number
        arrays, scalars = layout.read(np.asarray(numbers, np.float64))
        if "grad_norm" in arrays:
            scalars["grad_norm"] = global_norm(arrays["grad_norm"])
        self._log(Measured(number, clock.now(), scalars, layout.columns, arrays))


def norms(arrays: Sequence[Any]) -> dict[int, jax.Array]:
    """The norm of each array of numbers, in 32 bits at least."""
    return {i: _norm(array) for i, array in _numeric(arrays)}


def largest_halves(arrays: Sequence[Any]) -> dict[int, jax.Array]:
    """The largest element of each array of 16 bits."""
    halves = [(i, array) for i, array in _numeric(arrays) if array.dtype in HALF]
    return {i: jnp.max(jnp.abs(array), initial=0) for i, array in halves}


def total(parts: Mapping[int, jax.Array]) -> jax.Array:
    """The norm of everything."""
    return jnp.sqrt(sum((jnp.square(part) for part in parts.values()), jnp.zeros(())))


def mended(arrays: Sequence[Any], decision: jax.Array) -> list[Any]:
    """Arrays clipped or sanitised as decided."""
    factor, to = decision[0], decision[2]
    whole = [array for _, array in _numeric(arrays)]
    changed = jax.lax.cond(
        jnp.isnan(to),
        lambda: [array * factor.astype(array.dtype) for array in whole],
        lambda: _sanitised(whole, to),
    )
    results = list(arrays)
    for (i, _), array in zip(_numeric(arrays), changed, strict=True):
        results[i] = array
    return results


def chosen(skip: jax.Array, old: Any, new: Any) -> Any:
    """``old`` if the update is skipped; for trees of arrays."""
    return jax.tree.map(lambda a, b: jnp.where(skip > 0, a, b), old, new)


def _numeric(arrays: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    for i, array in enumerate(arrays):
        if array is not None and jnp.issubdtype(jnp.result_type(array), jnp.inexact):
            yield i, array


def _norm(array: Any) -> jax.Array:
    wide = jnp.promote_types(array.dtype, jnp.float32)
    return jnp.sqrt(jnp.sum(jnp.square(jnp.abs(array.astype(wide)))))


def _sanitised(arrays: Sequence[Any], limit: jax.Array) -> list[Any]:
    """What is not finite is zero, the rest is scaled down to the limit; no norm may overflow."""
    finite = [jnp.where(jnp.isfinite(array), array, 0) for array in arrays]
    tops = [jnp.max(jnp.abs(array), initial=0).astype(jnp.float32) for array in finite]
    top = jnp.maximum(functools.reduce(jnp.maximum, tops), jnp.finfo(jnp.float32).tiny)
    even = [array.astype(jnp.float32) / top for array in finite]
    norm = total({i: _norm(array) for i, array in enumerate(even)})
    factor = jnp.minimum(top, limit / jnp.maximum(norm, jnp.finfo(jnp.float32).tiny))
    return [
        (array * factor).astype(before.dtype) for array, before in zip(even, arrays, strict=True)
    ]
