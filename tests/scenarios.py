"""Named, seeded training histories, healthy and faulty, as whole frames that any test may cut."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache

import numpy as np

from gradwatch_service.domain import MISSING32, LayerTable
from tests.simulation import Net, train
from tests.streams import MLP, RECURRENT, TINY, Scenario, level, training


def _warm_up() -> Scenario:
    lr = 1e-3 * np.minimum((1 + np.arange(480)) / 200, 1.0)
    run = training(seed=3).scalar("lr", lr)
    return run.stat("update_norm", run.frame.layers["update_norm"] * (lr / 1e-3)[:, None])


def _restart() -> Scenario:
    lr = 5e-4 * (1.02 + np.cos(np.pi * (np.arange(480) % 240) / 240))
    run = training(seed=4).scaled(level(480, 240, 0.8)).scalar("lr", lr)
    return run.scalar("loss", run.frame.scalars["loss"] * level(480, 240, 0.12))


def _decay() -> Scenario:
    run = training(seed=5).scaled(level(480, 300, 1.2))
    run = run.scalar("loss", run.frame.scalars["loss"] * level(480, 300, -0.5, 20))
    return run.scalar("lr", 1e-3 / level(480, 300, 3.32))


def _batch_doubling() -> Scenario:
    return (
        training(seed=6).scaled(level(480, 256, -0.4)).scalar("batch_size", 32 * level(480, 256, 1))
    )


def _negative_loss() -> Scenario:
    run = training(seed=7, bits=0.5)
    drift = np.linspace(0.1, -0.6, 480)
    return run.scalar("loss", drift + np.random.default_rng(7).normal(0.0, 0.15, 480))


def _interpolating() -> Scenario:
    run = training(seed=8)
    fall = level(480, 40, -22.0, 400)
    return run.scaled(fall).scalar("loss", run.frame.scalars["loss"] * fall)


def _calibration() -> Scenario:
    half = LayerTable(tuple(replace(layer, dtype="float16") for layer in MLP.layers))
    run, overflow = replace(training(seed=9), layers=half), [0, 1, 2, 3, 300]
    scale = 65536.0 / np.exp2(np.cumsum(np.isin(np.arange(480), overflow)))
    run = run.scalar("loss_scale", scale).scalar(
        "found_inf", np.isin(np.arange(480), overflow) * 1.0
    )
    for name in ("grad_norm", "grad_max"):
        table = run.frame.layers[name] / 8
        table[overflow] = np.inf
        run = run.stat(name, table)
    norm, update = run.frame.scalars["grad_norm"] / 8, run.frame.layers["update_norm"].copy()
    norm[overflow], update[overflow] = np.inf, 0.0
    return run.scalar("grad_norm", norm).stat("update_norm", update)


def _late_layer() -> Scenario:
    run = training(seed=10)
    layers = {name: table.copy() for name, table in run.frame.layers.items()}
    for table in layers.values():
        table[:200, 5] = MISSING32
    return replace(run, frame=replace(run.frame, layers=layers))


def _accumulation() -> Scenario:
    run = training(seed=11)
    return run.stat(
        "update_norm", run.frame.layers["update_norm"] * (np.arange(480) % 4 == 3)[:, None]
    )


def _recurrent(beta: float, n: int = 320) -> Scenario:
    run, rng = training(n, layers=RECURRENT, seed=12), np.random.default_rng(12)
    profile = np.exp2(beta * np.arange(50)[::-1] + rng.normal(0.0, 0.3, (n, 50)))
    return replace(run, frame=replace(run.frame, profiles={"time": profile.astype(np.float32)}))


def _trained(net: Net, steps: int, lr: float) -> Scenario:
    return Scenario(train(net, steps=steps, lr=lr), net.table())


HEALTHY: Mapping[str, Callable[[], Scenario]] = {
    "plain convergence": training,
    "batch of 4": lambda: training(seed=2, bits=0.8),
    "heavy tails": lambda: training(seed=2, bits=0.3, tail=4.0),
    "warm-up ramp": _warm_up,
    "cosine restart": _restart,
    "learning rate decay": _decay,
    "batch doubling": _batch_doubling,
    "negative loss": _negative_loss,
    "layers every 10th report": lambda: training(seed=13).without(
        [i for i in range(480) if i % 10], layers_only=True
    ),
    "everything every 10th report": lambda: training(960, seed=14).without(
        i for i in range(960) if i % 10
    ),
    "tiny net": lambda: training(layers=TINY, seed=15),
    "scalars only": lambda: training(layers=LayerTable(), seed=16),
    "late layer": _late_layer,
    "late start": lambda: training(seed=17).without(range(100)),
    "interpolating": _interpolating,
    "loss scaler calibration": _calibration,
    "gradient accumulation": _accumulation,
    "recurrent": lambda: _recurrent(-0.05),
    "resumed at a huge step": lambda: _at_step(training(seed=18), 2**53 - 481),
    "trained relu": lambda: _trained(Net(depth=20), 160, 0.01),
    "trained tanh": lambda: _trained(Net(depth=8, activation="tanh"), 160, 0.05),
}


def _at_step(run: Scenario, first: int) -> Scenario:
    return replace(run, frame=replace(run.frame, steps=run.frame.steps + first))


def _jump() -> Scenario:
    run = training(seed=20).scaled(level(480, 300, 4.9)).scalar("lr", 1e-3 * level(480, 300, 4.9))
    run = run.scalar("loss", run.frame.scalars["loss"] * level(480, 302, 2.5, 40))
    return replace(run, onset=300)


def _growth(bits_per_report: float) -> Scenario:
    grown = np.exp2(bits_per_report * np.maximum(np.arange(480) - 299, 0))
    return replace(training(seed=21).scaled(grown), onset=300)


def _poisoned() -> Scenario:
    hit = np.exp2(5.0 * (np.arange(480) == 300))
    run = training(seed=22).scaled(hit)
    return replace(run.scalar("loss", run.frame.scalars["loss"] * np.sqrt(hit)), onset=300)


def _broken_layer() -> Scenario:
    run = training(seed=23)
    table, norm = run.frame.layers["grad_norm"].copy(), run.frame.scalars["grad_norm"].copy()
    table[300:, 2], norm[300:] = np.nan, np.nan
    return replace(run.stat("grad_norm", table).scalar("grad_norm", norm), onset=300)


def _near_overflow() -> Scenario:
    half = LayerTable(tuple(replace(layer, dtype="float16") for layer in MLP.layers))
    run = replace(training(seed=24), layers=half).scalar(
        "loss_scale", 64 * level(480, 300, 10.0, 100)
    )
    return replace(run, onset=300)


def _ramp() -> Scenario:
    run, rise = training(seed=25), np.exp2(np.maximum(np.arange(480) - 199, 0) * np.log2(1.02))
    update = run.frame.layers["update_norm"] * rise[:, None]
    return replace(run.stat("update_norm", update).scalar("lr", 1e-3 * rise), onset=200)


def _blow_up() -> Scenario:
    run = training(96, seed=26).scaled(np.exp2(np.minimum(np.arange(96), 40)))
    return run.scalar(
        "loss", run.frame.scalars["loss"] * np.exp2(np.minimum(np.arange(96) / 2, 20))
    )


def _worse_than_new() -> Scenario:
    run = training(seed=27)
    return replace(
        run.scalar("loss", run.frame.scalars["loss"] * level(480, 100, 4, 300)), onset=100
    )


def _vanished() -> Scenario:
    run = training(160, seed=28)
    fade = np.exp2(-30.0 + 3.0 * MLP.depth)
    return run.stat("grad_norm", run.frame.layers["grad_norm"] * fade)


def _deep(beta: float) -> Scenario:
    run = training(160, seed=29)
    return run.stat("act_grad_norm", run.frame.layers["grad_norm"] * np.exp2(-beta * MLP.depth))


FAULTY: Mapping[str, Callable[[], Scenario]] = {
    "learning rate too high": lambda: _trained(Net(depth=6), 96, 0.15),
    "learning rate jump": _jump,
    "slow growth": lambda: _growth(0.125),
    "fast growth": lambda: _growth(0.5),
    "through time": lambda: _recurrent(0.2),
    "bad initialisation": lambda: _trained(Net(gain=1.5), 64, 1e-12),
    "poisoned batch": _poisoned,
    "not a number in one layer": _broken_layer,
    "near overflow": _near_overflow,
    "vanishing sigmoid": lambda: _trained(Net(depth=12, activation="sigmoid"), 96, 0.05),
    "vanished": _vanished,
    "deep signal grows": lambda: _deep(1.8),
    "early explosion": _blow_up,
    "slow ramp": _ramp,
    "worse than new": _worse_than_new,
}


@cache
def scenario(name: str) -> Scenario:
    """A scenario by name, its arrays read-only."""
    found = {**HEALTHY, **FAULTY}[name]()
    frame = found.frame
    for values in (frame.steps, frame.time, *frame.scalars.values()):
        values.flags.writeable = False
    for table in (*frame.layers.values(), *frame.profiles.values()):
        table.flags.writeable = False
    return found
