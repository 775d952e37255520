"""Keras 3: ``model.fit(…, callbacks=[GradwatchCallback(run)])``, on the backends torch and jax.

No callback of Keras sees gradients. All of them pass through ``apply`` of the optimizer, compiled
or not, so this is where they are measured for as long as ``fit`` runs.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import keras

from gradwatch.integrations.keras_layers import describe
from gradwatch.notices import logger
from gradwatch.off import OffRun
from gradwatch.run import Run

LINKS = {
    "torch": "gradwatch.integrations.keras_torch",
    "jax": "gradwatch.integrations.keras_jax",
}


class GradwatchCallback(keras.callbacks.Callback):  # type: ignore[misc]  # Any to mypy
    """Reports every update of ``fit`` and applies the guard, before the optimizer clips.

    Args:
        run: From ``gradwatch.init``; it is not finished when ``fit`` ends.
        autopilot: 0 only observes; 1 and above clip and skip, more is not done here
            (default: ``GRADWATCH_AUTOPILOT``, then 1).
    """

    def __init__(self, run: Run | OffRun, *, autopilot: int | None = None) -> None:
        super().__init__()
        self._run = run
        self._acts = (run.autopilot if autopilot is None else autopilot) > 0
        self._watched: Any = None  # the model, its optimizer, and the one inside that
        self._link: Any = None

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Put the measuring in; what was compiled without it is compiled again."""
        del logs
        self._release()
        module = LINKS.get(keras.backend.backend())
        if module is None:
            logger.warning("gradwatch: Keras is watched on its backends torch and jax only")
        elif isinstance(self._run, Run):
            outer = self.model.optimizer
            inner = getattr(outer, "inner_optimizer", outer)
            self._run.add_config(_facts(inner))
            link = importlib.import_module(module).Link
            self._link = link(self._run, inner, describe(self.model), acts=self._acts)
            self._watched = (self.model, outer, inner)
            inner.apply = self._link.apply
            outer.scale_loss = self._link.hearing(outer.scale_loss)
            _compile_again(self.model)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Take the measuring out."""
        del logs
        self._release()

    def _release(self) -> None:
        if self._link is None:
            return
        self._link.close()
        model, outer, inner = self._watched  # not those of now: another may have been compiled
        del inner.apply, outer.scale_loss
        self._link = self._watched = None
        _compile_again(model)


def _compile_again(model: Any) -> None:
    model.make_train_function(force=True)


def _facts(optimizer: Any) -> dict[str, object]:
    facts: dict[str, object] = {"framework": "keras", "optimizer": type(optimizer).__name__}
    betas = [getattr(optimizer, name, None) for name in ("beta_1", "beta_2")]
    return facts if None in betas else {**facts, "betas": betas}
