"""A job of Keras: ``python -m tests.client.integrations.keras_job SCENARIO`` prints what came out.

Keras takes its backend when it is imported, so each backend needs a process of its own; the
environment says which (``KERAS_BACKEND``), and where the service is (``GRADWATCH_URL``).
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from gradwatch.config import Config
from gradwatch.integrations.keras import GradwatchCallback
from gradwatch.launch import Launch
from gradwatch.run import Run
from tests.client.conftest import FAST, RUN_ID
from tests.client.integrations.explosion import STEPS, documented, factor
from tests.client.memory_service import MemoryService

GUARD = {"skip_nonfinite": True, "max_consecutive_skips": 4, "expires_step": 10_000}


class Amplifier(keras.layers.Dense):
    """A dense layer whose kernel's gradient is multiplied; ``by`` counts with the batches."""

    def build(self, shape: Any) -> None:
        super().build(shape)
        self.passed = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, inputs: Any, training: bool = False) -> Any:
        by = keras.ops.power(2.0, keras.ops.clip(self.passed - factor_starts(), 0.0, 10.0))
        if training:
            self.passed.assign(self.passed + 1.0)
        # The value of the kernel, the gradient of ``by`` times it.
        steep = self.kernel * by
        kernel = keras.ops.stop_gradient(self.kernel - steep) + steep
        return self.activation(keras.ops.matmul(inputs, kernel) + self.bias)


def factor_starts() -> float:
    return float(next(step for step in range(STEPS) if factor(step + 1) > 1.0))


def compiled(optimizer: Any, middle: type = keras.layers.Dense) -> Any:
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.layers.Input((8,)),
            keras.layers.Dense(16, activation="tanh", name="first"),
            middle(16, activation="tanh", name="middle"),
            keras.layers.Dense(1, name="last"),
        ],
        name="net",
    )
    model.compile(optimizer=optimizer, loss="mse")
    return model


def data(batches: int) -> tuple[Any, Any]:
    inputs = np.random.default_rng(1).normal(size=(16 * batches, 8)).astype(np.float32)
    return inputs, inputs.sum(1, keepdims=True)


def fit(model: Any, batches: int, *callbacks: Any) -> None:
    inputs, targets = data(batches)
    model.fit(inputs, targets, batch_size=16, shuffle=False, verbose=0, callbacks=[*callbacks])


def norm_of(model: Any, before: Any) -> float:
    pairs = zip(model.get_weights(), before, strict=True)
    return float(np.sqrt(sum(((a - b) ** 2).sum() for a, b in pairs)))


class Job:
    """A run with a service in memory."""

    def __init__(self, **guard: Any) -> None:
        self.service = MemoryService()
        self.run = Run(Launch(RUN_ID, "lm", "l1"), Config(**FAST), (), self.service.transport)
        if guard:
            self.service.guard = GUARD | guard
            self.run.event("note")
            assert self.run.flush(10.0)

    def series(self, name: str) -> list[float]:
        self.run.finish()
        return self.service.scalar(name)


def docs() -> dict[str, Any]:
    inputs, targets = data(STEPS)
    model = compiled(keras.optimizers.SGD(1e-4), Amplifier)
    names: dict[str, Any] = {"model": model, "inputs": inputs, "targets": targets}
    exec(documented("Keras 3"), names)  # noqa: S102
    names["run"].finish()
    return {"run": names["run"].id}


def measured() -> dict[str, Any]:
    """The same training with and without the callback, in two calls of fit."""
    job, losses = Job(), []
    watched = compiled(keras.optimizers.Adam(0.01, global_clipnorm=0.5))
    alone = compiled(keras.optimizers.Adam(0.01, global_clipnorm=0.5))
    each = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda _, logs: losses.append(float(logs["loss"]))
    )
    fit(watched, 3, GradwatchCallback(job.run))
    fit(watched, 3, GradwatchCallback(job.run))
    fit(watched, 2)
    fit(alone, 3, each)
    fit(alone, 3, each)
    fit(alone, 2)
    means = np.array(losses).reshape(2, 3) * [1, 2, 3]
    return {
        "moved": norm_of(watched, alone.get_weights()),
        "losses": np.diff(means, axis=1, prepend=0).ravel().tolist(),
        "loss": job.series("loss"),
        "steps": job.service.steps,
        "lr": job.series("lr"),
        "clip_norm": job.series("clip_norm"),
        "grad_norm": job.series("grad_norm"),
        "update_norm": job.service.stat("update_norm"),
        "layers": job.service.runs[RUN_ID]["layers"],
        "config": job.service.runs[RUN_ID]["config"],
    }


def skipped() -> dict[str, Any]:
    job = Job(skip_above=1e-9)
    model = compiled(keras.optimizers.Adam(0.1))
    before = model.get_weights()
    fit(model, 3, GradwatchCallback(job.run))
    return {"moved": norm_of(model, before), "skipped": job.series("skipped")[-3:]}


def clipped() -> dict[str, Any]:
    job = Job(max_norm=1e-3)
    model = compiled(keras.optimizers.SGD(1.0))
    before = model.get_weights()
    fit(model, 1, GradwatchCallback(job.run))
    return {"moved": norm_of(model, before)}


def accumulated() -> dict[str, Any]:
    """Two parts an update; the same without the callback."""
    job, models = Job(), []
    for callbacks in ([GradwatchCallback(job.run)], []):
        models.append(compiled(keras.optimizers.SGD(0.01, gradient_accumulation_steps=2)))
        fit(models[-1], 6, *callbacks)
    moved = norm_of(models[0], models[1].get_weights())
    norms, losses = job.series("grad_norm"), job.series("loss")
    return {"moved": moved, "steps": job.service.steps, "norms": norms, "losses": len(losses)}


class Interrupt(keras.callbacks.Callback):
    """Stops a fit as Ctrl-C does."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        del logs
        if batch == 1:
            raise KeyboardInterrupt


def interrupted() -> dict[str, Any]:
    """The model is compiled with another optimizer after that, and trained."""
    job, model = Job(), compiled(keras.optimizers.SGD(0.01))
    callback, first = GradwatchCallback(job.run), model.optimizer
    with contextlib.suppress(KeyboardInterrupt):
        fit(model, 3, callback, Interrupt())
    model.compile(optimizer=keras.optimizers.SGD(0.02), loss="mse")
    fit(model, 3, callback)
    rates = job.series("lr")
    left = [name for name in ("apply", "scale_loss") if name in vars(first)]
    return {"rates": rates, "steps": job.service.steps, "left": left}


def in_part() -> dict[str, Any]:
    """Some updates are of the first layer only, some of nothing, some in another order."""
    job, model = Job(), compiled(keras.optimizers.SGD(0.01))
    run, optimizer = job.run, model.optimizer
    optimizer.build(model.trainable_variables)
    callback = GradwatchCallback(run)
    callback.set_model(model)
    callback.on_train_begin()
    before = model.get_weights()
    variables = model.trainable_variables
    ones = [keras.ops.ones(variable.shape) for variable in variables]
    for part in (slice(2), slice(0), slice(None, None, -1), slice(None)):
        optimizer.scale_loss(keras.ops.convert_to_tensor(float(len(ones[part]))))
        if ones[part]:
            optimizer.apply(ones[part], variables[part])
        else:
            optimizer.apply([])
    callback.on_train_end()
    moved = [float((a - b).mean()) for a, b in zip(before, model.get_weights(), strict=True)]
    return {"moved": moved, "loss": job.series("loss"), "reports": len(job.service.steps)}


SCENARIOS: list[Callable[[], dict[str, Any]]] = [
    docs,
    measured,
    skipped,
    clipped,
    accumulated,
    interrupted,
    in_part,
]

if __name__ == "__main__":
    print(json.dumps({one.__name__: one() for one in SCENARIOS if one.__name__ in sys.argv[1:]}))
