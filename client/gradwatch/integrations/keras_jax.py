"""Keras on JAX: the compiled step measures its gradients and sends the numbers to the host."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from gradwatch.integrations.keras_layers import PARTS_ONLY, fits
from gradwatch.integrations.module_tree import Watched
from gradwatch.integrations.traced import Traced, chosen, largest_halves, mended, norms, total
from gradwatch.records import Measured
from gradwatch.run import Run


class Link:
    """Stands in for ``apply`` of an optimizer while a step is traced.

    The loss is a value inside the gradient's own trace and cannot be handed over there. It comes to
    the host by a call of its own; steps run one after the other, so the n-th loss is of the n-th
    report.
    """

    def __init__(self, run: Run, optimizer: Any, watched: Sequence[Watched], *, acts: bool) -> None:
        self._traced = Traced(run, acts=acts, log=self._log)
        self._run = run
        self._optimizer = optimizer
        self._update = optimizer.apply
        self._layers = [item.layer for item in watched]
        self._variables = [item.parameter for item in watched]
        self._count = optimizer._iterations  # each part of an accumulated update
        self._offset = run.next_step - int(self._count.value)
        self._hears = False
        self._losses: deque[float] = deque()
        self._reports: deque[Measured | None] = deque()  # None: not reported

    def hearing(self, scale_loss: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """``scale_loss`` that also sends the loss."""

        def heard(loss: Any) -> Any:
            self._hears = True
            jax.debug.callback(self._hear, loss)
            return scale_loss(loss)

        return heard

    def apply(self, grads: Sequence[Any], trainable_variables: Any = None) -> None:
        """Measure, make the update, and take it back if the guard refuses it."""
        if not fits(self._variables, grads, trainable_variables):
            self._run.warn("keras", PARTS_ONLY)
            jax.debug.callback(self._pass)
            self._update(grads, trainable_variables)
            return
        step = self._count.value + self._offset
        measured = norms(grads)
        decision = self._traced.ask(step, total(measured))
        kept = [variable for variable in self._optimizer.variables if self._may_go_back(variable)]
        before = [variable.value for variable in (*self._variables, *kept)]
        self._update(mended(grads, decision) if self._traced.acts else grads, trainable_variables)
        after = [variable.value for variable in (*self._variables, *kept)]
        if self._traced.acts:
            after = chosen(decision[1], before, after)
            for variable, value in zip((*self._variables, *kept), after, strict=True):
                variable.assign(value)
        count = len(self._variables)
        stats = {"grad_norm": measured, "grad_max": largest_halves(grads)}
        rate = jnp.asarray(self._optimizer.learning_rate)
        limit = self._optimizer.global_clipnorm
        skipped = decision[1] if self._traced.acts else None
        self._traced.report(
            step,
            self._layers,
            stats,
            {"lr": rate, "clip_norm": limit, "skipped": skipped},
            sampled=lambda: {
                "weight_norm": norms(before[:count]),
                "update_norm": norms([b - a for b, a in zip(before, after[:count], strict=False)]),
            },
        )

    def close(self) -> None:
        """Report the last updates, and watch no more."""
        self._traced.flush()
        self._run.drop_watcher(self._traced)

    def _log(self, measured: Measured) -> None:
        """Wait for the loss of this report, if losses are heard."""
        self._reports.append(measured)
        self._match()

    def _pass(self) -> None:
        """The loss of this update is of no report."""
        self._reports.append(None)
        self._match()

    def _may_go_back(self, variable: Any) -> bool:
        """All but the count of updates, which numbers the reports."""
        return variable is not self._count

    def _hear(self, loss: Any) -> None:
        self._losses.append(float(loss))
        self._match()

    def _match(self) -> None:
        while self._reports and (self._losses or not self._hears):
            report = self._reports.popleft()
            loss = {"loss": self._losses.popleft()} if self._losses else {}
            if report is not None:
                self._run.log_measured(replace(report, scalars={**report.scalars, **loss}))
