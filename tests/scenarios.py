"""Named, seeded training histories, healthy and faulty, as whole frames that any test may cut."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from gradwatch_service.domain import MISSING32, LayerTable
from tests import layer_scenarios
from tests.ranks import jointly, replicas, silence, struck, uneven
from tests.simulation import Net, train
from tests.streams import MLP, RECURRENT, TINY, Scenario, level, noise, steady, training


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


def _converged() -> Scenario:
    run = training(1200, seed=30)
    return run.scalar("loss", 0.4 * noise(1200, 0.1, 30))


def _players() -> Scenario:
    """Two players take turns, as in adversarial nets: every other report is the same one's."""
    run, turn = training(640, seed=31), np.arange(640) % 2
    return run.scalar("loss", (0.7 + 0.8 * turn) * noise(640, 0.1, 32)).scaled(np.exp2(1.5 * turn))


def _one_cycle() -> Scenario:
    """A learning rate that rises 16-fold and falls again, 3 % a report; norm and updates follow."""
    rate = np.exp2(4 * np.minimum(np.arange(640) / 100, np.maximum(4.2 - np.arange(640) / 100, 0)))
    rate = np.minimum(rate, 16.0)
    return training(640, seed=33).scaled(np.sqrt(rate)).scalar("lr", 1e-4 * rate)


def _announced_phase() -> Scenario:
    run = training(seed=34).announced("phase", 260)
    run = run.scalar("grad_norm", run.frame.scalars["grad_norm"] * level(480, 260, 3.5))
    return run.scalar("loss", run.frame.scalars["loss"] * level(480, 260, 0.1))


def _always_clipped() -> Scenario:
    return training(640, seed=35).scaled(np.full(640, 8.0)).scalar("clip_norm", 1.0)


def _huge_first_scale() -> Scenario:
    overflow = np.arange(480) < 18
    run = training(seed=36).scalar("found_inf", overflow * 1.0)
    return run.scalar("loss_scale", np.exp2(32.0 - np.minimum(np.arange(480), 18)))


def _changing_lengths() -> Scenario:
    size = np.random.default_rng(37).choice([128.0, 256.0, 512.0], 960)
    return training(960, seed=37).scalar("seq_len", size).scalar("step_seconds", size / 500)


def _poisoned() -> Scenario:
    hit = np.exp2(5.0 * (np.arange(480) == 300))
    run = training(seed=22).scaled(hit)
    return replace(run.scalar("loss", run.frame.scalars["loss"] * np.sqrt(hit)), onset=300)


def _tiny_rate() -> Scenario:
    run = training(seed=38)
    return run.stat("update_norm", run.frame.layers["update_norm"] * 1e-4).scalar("lr", 1e-7)


def _trained(net: Net, steps: int, lr: float) -> Scenario:
    return Scenario(train(net, steps=steps, lr=lr), net.table())


HEALTHY: Mapping[str, Callable[[], Scenario]] = {
    **layer_scenarios.HEALTHY,
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
    "converged": _converged,
    "players take turns": _players,
    "one cycle": _one_cycle,
    "announced phase": _announced_phase,
    "always clipped": _always_clipped,
    "huge first loss scale": _huge_first_scale,
    "changing lengths": _changing_lengths,
    "poisoned batch": _poisoned,
    "tiny learning rate": _tiny_rate,
    "replicas": lambda: jointly(grad_norm=replicas(), local_grad_norm=uneven()),
    "shards of one model": lambda: jointly(grad_norm=uneven() * [1.0, 3.5, 0.6, 1.4]),
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
    """A loss that ends above its start, after a burst of large updates."""
    run = training(seed=27)
    burst = np.where((np.arange(480) >= 200) & (np.arange(480) < 204), 32.0, 1.0)
    run = run.stat("update_norm", run.frame.layers["update_norm"] * burst[:, None])
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


def _poisoned_batches() -> Scenario:
    hit = np.exp2(5.0 * np.isin(np.arange(480), range(300, 305)))
    run = training(seed=40).scaled(hit)
    return replace(run.scalar("loss", run.frame.scalars["loss"] * np.sqrt(hit)), onset=300)


def _creep() -> Scenario:
    run = training(1700, seed=41).scaled(level(1700, 1200, 2.0, 400))
    return replace(run.scalar("loss", 0.4 * noise(1700, 0.1, 41)), onset=1200)


def _restless() -> Scenario:
    """From report 300 on the noise of the norm is five times what it was; its level is the same."""
    jump = np.where(np.arange(640) < 300, 0.0, np.random.default_rng(42).normal(0.0, 1.25, 640))
    run = training(640, seed=42).scaled(np.exp2(jump))
    return replace(run.scalar("loss", 0.4 * noise(640, 0.1, 42)), onset=300)


def _swing() -> Scenario:
    """From report 300 on the loss swings to and fro, and its level rises."""
    swing = np.where(np.arange(480) < 300, 0.0, 0.3 * (-1.0) ** np.arange(480))
    rise = level(480, 300, 1.0, 100) * np.exp2(swing)
    return replace(steady(480).scalar("loss", rise * noise(480, 0.02, 43)), onset=300)


def _clipped_away() -> Scenario:
    run = training(640, seed=44).scalar("clip_norm", 1e-3)
    run = run.stat("update_norm", run.frame.layers["update_norm"] * 1e-3)
    return run.scalar("loss", 2.3 * noise(640, 0.1, 44))


def _collapsing_scale() -> Scenario:
    """From report 300 on every step overflows, until the loss scale is 1."""
    steps = np.clip(np.arange(480) - 300, 0, 14)
    run = training(seed=45).scalar("loss_scale", np.exp2(14.0 - steps))
    return replace(run.scalar("found_inf", (np.arange(480) >= 300) * 1.0), onset=300)


def _slow_machine() -> Scenario:
    run = training(seed=46)
    return replace(run.scalar("step_seconds", 0.2 * level(480, 300, 1.3)), onset=300)


def _drifting() -> NDArray[np.float64]:
    """From report 300 on one of four replicas has weights of its own."""
    return struck(replicas(), 2, slice(300, None), 1.0003)


FAULTY: Mapping[str, Callable[[], Scenario]] = {
    **layer_scenarios.FAULTY,
    "learning rate too high": lambda: _trained(Net(depth=6), 96, 0.15),
    "learning rate jump": _jump,
    "slow growth": lambda: _growth(0.125),
    "fast growth": lambda: _growth(0.5),
    "through time": lambda: _recurrent(0.2),
    "bad initialisation": lambda: _trained(Net(gain=1.5), 64, 1e-12),
    "not a number in one layer": _broken_layer,
    "near overflow": _near_overflow,
    "vanishing sigmoid": lambda: _trained(Net(depth=12, activation="sigmoid"), 96, 0.05),
    "vanished": _vanished,
    "deep signal grows": lambda: _deep(1.8),
    "early explosion": _blow_up,
    "slow ramp": _ramp,
    "worse than new": _worse_than_new,
    "poisoned batches": _poisoned_batches,
    "creeping growth": _creep,
    "restless": _restless,
    "swinging": _swing,
    "clipped away": _clipped_away,
    "collapsing loss scale": _collapsing_scale,
    "slow machine": _slow_machine,
    "replicas drift apart": lambda: jointly(300, grad_norm=_drifting()),
    "rank out of line": lambda: jointly(
        300, local_grad_norm=struck(uneven(), 2, slice(300, None), 8.0)
    ),
    "gone silent": lambda: silence(np.where(np.arange(40) < 30, 0.5, 31.0), onset=30),
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
