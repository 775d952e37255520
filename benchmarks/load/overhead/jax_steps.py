"""``python -m benchmarks.load.overhead.jax_steps``: what watching adds to short steps of JAX."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import gradwatch
from benchmarks.load.overhead.estimate import overhead
from benchmarks.load.overhead.receiver import STAND_IN, receiving
from gradwatch.integrations.jax import carry, watch

SIZES = {"4 x 128²": (128, 4, 64, 100), "6 x 256²": (256, 6, 256, 40)}
ROUNDS, FIRST_STEPS = 12, 5
WAYS: Mapping[str, tuple[Callable[..., Any], int] | None] = {
    "bare": None,
    "watch, level 0": (watch, 0),
    "watch, level 1": (watch, 1),
    "carry, level 1": (carry, 1),
}


def main() -> None:
    for name, (width, depth, batch, steps) in SIZES.items():
        inputs = jnp.asarray(np.random.default_rng(1).normal(size=(batch, width)), jnp.float32)
        seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        with receiving(STAND_IN) as url, _jobs(width, depth, inputs, url) as jobs:
            order = list(jobs)
            for _ in range(ROUNDS):
                random.shuffle(order)
                for way in order:
                    seconds[way].append(_block(jobs[way], steps))
        for way, found in seconds.items():
            added = overhead(found, seconds["bare"])
            print(
                f"{name}  {way:15} {1e3 * np.median(found):7.2f} ms of processor time a step, "
                f"{100 * added.ratio:+.1f} % [{100 * added.low:+.1f}, {100 * added.high:+.1f}]"
            )


@contextmanager
def _jobs(width: int, depth: int, inputs: Any, url: str) -> Iterator[dict[str, Iterator[Any]]]:
    """A training for each way, as an iterator over its losses."""
    jobs, runs = {}, []
    for name, way in WAYS.items():
        optimizer: Any = optax.with_extra_args_support(optax.adam(1e-3))
        if way is not None:
            runs.append(gradwatch.init(project="overhead", name=name, url=url))
            runs[-1].log(loss=1.0)
            runs[-1].flush()  # the guard is armed now
            optimizer = way[0](runs[-1], optimizer, autopilot=way[1])
        jobs[name] = _training(optimizer, width, depth, inputs)
        for _ in range(FIRST_STEPS):
            next(jobs[name])
    yield jobs
    for run in runs:
        run.finish()


def _training(optimizer: Any, width: int, depth: int, inputs: Any) -> Iterator[Any]:
    rng = np.random.default_rng(0)
    layer = (width, width)
    params = {
        f"Dense_{i}": {
            "kernel": jnp.asarray(rng.normal(0, width**-0.5, layer), jnp.float32),
            "bias": jnp.zeros(width),
        }
        for i in range(depth)
    }
    state = optimizer.init(params)
    hand_over = getattr(optimizer, "step", lambda state: state)

    @jax.jit
    def train(params: Any, state: Any) -> Any:
        loss, grads = jax.value_and_grad(_loss)(params, inputs)
        updates, state = optimizer.update(grads, state, params, value=loss)
        return optax.apply_updates(params, updates), state, loss

    while True:
        params, state, loss = train(params, state)
        state = hand_over(state)
        yield loss.block_until_ready()


def _loss(params: Any, inputs: Any) -> Any:
    hidden = inputs
    for layer in params.values():
        hidden = jnp.tanh(hidden @ layer["kernel"] + layer["bias"])
    return jnp.mean((hidden - inputs) ** 2)


def _block(job: Iterator[Any], steps: int) -> float:
    """Processor time of a step, all threads."""
    jax.effects_barrier()
    begun = time.process_time()
    for _ in range(steps):
        next(job)
    jax.effects_barrier()
    return (time.process_time() - begun) / steps


if __name__ == "__main__":
    main()
