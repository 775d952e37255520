"""One stream per cause of DETECTORS section 4: healthy training with that fault injected."""

from collections.abc import Callable

import numpy as np

from gradwatch_service.domain import Facts, Layer, LayerTable
from tests.service.diagnose.streams import WIDTH, Stream, healthy, mlp

RNN = LayerTable(
    (
        Layer("W_xh", "linear", 0, (WIDTH, 16)),
        Layer("W_hh", "recurrent", 1, (WIDTH, WIDTH), activation="tanh"),
        Layer("W_hy", "head", 2, (4, WIDTH)),
    )
)
LANGUAGE = LayerTable(
    (Layer("embed", "embedding", 0, (512, WIDTH)), *mlp(6, normalised=True).layers[1:])
)


def explosion_through_time(reports: int = 240, beta: float = 0.3, time_steps: int = 40) -> Stream:
    """From report 120 on the gradient grows through time, and then report after report."""
    stream, onset = healthy(reports, layers=RNN), 120
    noise = np.exp(np.random.default_rng(2).normal(0, 0.02, (reports, time_steps)))
    stream.profile = noise
    stream.profile[onset:] *= 2.0 ** (beta * np.arange(time_steps)[::-1])
    stream.multiply_norms(onset, 2.0 ** (0.25 * np.arange(reports - onset)))
    stream.multiply_loss(onset, 1.02 ** np.arange(reports - onset))
    return stream


def learning_rate_too_high(ratio: float = 0.06) -> Stream:
    """From report 200 on updates are 60 times as large, then the loss climbs."""
    stream, onset = healthy(320), 200
    stream.update_ratio(onset, ratio)
    stream.multiply_norms(onset, 3.0)
    stream.multiply_loss(onset + 10, 1.05 ** np.arange(110))
    return stream


def learning_rate_jump() -> Stream:
    """The schedule raises the rate tenfold at report 200; the norm explodes from 203 on."""
    stream = healthy(320)
    stream.scalars["lr"][200:] *= 10
    stream.update_ratio(200, 0.03)
    stream.multiply_norms(203, np.minimum(1.3 ** np.arange(117), 30.0))
    stream.multiply_loss(203, 1.1 ** np.arange(117))
    return stream


def no_warm_up() -> Stream:
    """Adam at its full rate: the first forty updates are a tenth of the weights."""
    stream = healthy(120)
    stream.facts = Facts(optimizer="adamw", beta2=0.99)
    stream.update_ratio(0, 0.1, 40)
    stream.multiply_loss(1, 12.0)
    return stream


def bad_initialisation(**layers: bool) -> Stream:
    """Eight ReLU layers at four times the critical gain: the norm explodes at once."""
    stream = healthy(120, layers=mlp(8, **layers))
    stream.stats["weight_norm"] *= 4
    stream.multiply_norms(2, 2.0 ** np.minimum(np.arange(118), 20))
    return stream


def missing_normalisation() -> Stream:
    """From report 150 on the gradient grows by 1.6 bits a layer towards the input."""
    stream = healthy(300)
    stream.stats["grad_norm"][150:] *= 2.0 ** (1.6 * np.arange(6)[::-1])
    return stream


def data_outlier(height: float = 6.0, loss: float = 2.0) -> Stream:
    """One bad batch at report 200."""
    return spikes(200, height=height, loss=loss)


def spikes(*at: int, height: float = 6.0, loss: float = 2.0, reports: int = 300) -> Stream:
    """Single reports whose gradient and loss jump."""
    stream = healthy(reports)
    for report in at:
        stream.multiply_norms(report, height, report + 1)
        stream.multiply_loss(report, loss, report + 1)
    return stream


def clip_missing_or_loose() -> Stream:
    """Four thirtyfold spikes within 1,024 reports."""
    return spikes(400, 600, 800, 1000, height=30.0, reports=1040)


def fp16_overflow(dtype: str = "float16") -> Stream:
    """At report 198 scaled gradients come near 65,504, at 200 the scaler finds infinities."""
    stream = healthy(300, layers=mlp(6, dtype=dtype, normalised=True))
    stream.scalars["loss_scale"] = np.full(300, 65536.0)
    stream.scalars["loss_scale"][201:] = 32768.0
    stream.scalars["found_inf"] = np.zeros(300)
    stream.scalars["found_inf"][200] = 1.0
    stream.stats["grad_max"] = np.full((300, 6), 1 / 32)
    stream.stats["grad_max"][198:200, 0] = 0.75
    stream.stats["grad_max"][200] = np.inf
    stream.stats["grad_norm"][200] = np.inf
    return stream


def one_layer(columns: int = 1) -> Stream:
    """Reports 200 to 202: the gradient of the embedding is twentyfold."""
    stream = healthy(300, layers=LANGUAGE)
    stream.stats["grad_norm"][200:203, :columns] *= 20
    return stream


def vanishing_gradients() -> Stream:
    """Ten tanh layers, each passes on a ninth of the gradient."""
    stream = healthy(200, layers=mlp(10, activation="tanh"))
    stream.stats["grad_norm"] *= 2.0 ** (-3.2 * np.arange(10)[::-1])
    return stream


def non_finite_input() -> Stream:
    """A NaN in the batch of report 100."""
    stream = healthy(200)
    stream.scalars["loss"][100] = np.nan
    stream.stats["grad_norm"][100] = np.nan
    return stream


def distribution_shift() -> Stream:
    """Announced at report 200: norm times four, loss times two, and it stays there."""
    stream = healthy(400)
    stream.multiply_norms(200, 4.0)
    stream.multiply_loss(200, 2.0)
    stream.events = ({"kind": "phase", "step": 200},)
    return stream


def heavy_tailed() -> Stream:
    """Spikes every 220 reports in a run whose loss falls throughout."""
    stream = spikes(*range(200, 1000, 220), height=8.0, loss=1.0, reports=900)
    stream.multiply_loss(0, 0.998 ** np.arange(900))
    return stream


def plateau() -> Stream:
    """A loss that stays where it is for 700 reports."""
    stream = healthy(700)
    stream.scalars["loss"] = 2.3 * np.exp(np.random.default_rng(3).normal(0, 0.05, 700))
    return stream


def adam_second_moment() -> Stream:
    """From report 200 on gradients are four times what Adam's second moment has learnt."""
    stream = healthy(320)
    stream.facts = Facts(optimizer="adamw", beta2=0.999)
    stream.stats["moment_rms"] = np.full((320, 6), 1.0)
    stream.stats["moment_rms"][200:] = 4.0
    return stream


def fp16_underflow() -> Stream:
    """Half precision, and gradients shrink by 2^-3 every 16 reports from 100 on."""
    stream = healthy(400, layers=mlp(6, dtype="float16", normalised=True))
    shrink = 2.0 ** (-3.0 * np.clip((np.arange(400) - 100) // 16, 0, 6))
    stream.multiply_norms(0, shrink)
    stream.scalars["loss_scale"] = np.full(400, 1.0)
    stream.stats["grad_zero"] = np.repeat(np.where(shrink < 2.0**-9, 0.5, 0.01)[:, None], 6, axis=1)
    return stream


def clip_too_tight() -> Stream:
    """A clipping limit a thousandth of the usual norm, tiny updates, and a loss that stays."""
    stream = healthy(640)
    stream.update_ratio(0, 5e-5)
    stream.scalars["loss"] = 2.3 * np.exp(np.random.default_rng(3).normal(0, 0.05, 640))
    stream.scalars["clip_norm"] = np.full(640, 2e-3)
    return stream


def weights_growing() -> Stream:
    """Without weight decay the weights double every 200 reports."""
    stream = healthy(900)
    stream.facts = Facts(extra={"weight_decay": 0.0})
    stream.stats["weight_norm"] *= 2.0 ** (np.arange(900) / 200)[:, None]
    stream.update_ratio(0, 4e-3)
    return stream


def dead_units() -> Stream:
    """From report 100 on the third layer gets no gradient."""
    stream = healthy(240)
    stream.stats["grad_norm"][100:, 2] = 0.0
    stream.stats["grad_zero"] = np.full((240, 6), 0.4)
    stream.stats["grad_zero"][100:, 2] = 1.0
    return stream


def learning_rate_too_low() -> Stream:
    """At a rate of 1e-7 an update is 1e-7 of the weights."""
    stream = healthy(240)
    stream.scalars["lr"][:] = 1e-7
    stream.update_ratio(0, 1e-7)
    return stream


def stalled_job() -> Stream:
    """From report 300 on a step takes three times as long."""
    stream = healthy(480)
    stream.scalars["step_seconds"] = np.where(np.arange(480) < 300, 0.2, 0.6)
    return stream


def hardware_or_rank() -> Stream:
    """The joint stream of four ranks: at report 200 the norm of the third goes its own way."""
    norms = np.repeat(np.exp(np.random.default_rng(4).normal(0, 0.1, (300, 1))), 4, axis=1)
    norms[200:, 2] *= 1.01
    ranks = LayerTable(tuple(Layer(f"rank{rank}", "rank") for rank in range(4)))
    return Stream(ranks, {"rank_alike": np.ones(300)}, {"rank_grad_norm": norms})


FAULTS: dict[str, Callable[[], Stream]] = {
    "adam-second-moment": adam_second_moment,
    "bad-initialisation": bad_initialisation,
    "clip-missing-or-loose": clip_missing_or_loose,
    "clip-too-tight": clip_too_tight,
    "data-outlier": data_outlier,
    "dead-units": dead_units,
    "distribution-shift": distribution_shift,
    "explosion-through-time": explosion_through_time,
    "fp16-overflow": fp16_overflow,
    "fp16-underflow": fp16_underflow,
    "hardware-or-rank": hardware_or_rank,
    "heavy-tailed-but-healthy": heavy_tailed,
    "learning-rate-jump": learning_rate_jump,
    "learning-rate-too-high": learning_rate_too_high,
    "learning-rate-too-low": learning_rate_too_low,
    "missing-normalisation": missing_normalisation,
    "no-warm-up": no_warm_up,
    "non-finite-input": non_finite_input,
    "one-layer": one_layer,
    "plateau": plateau,
    "stalled-job": stalled_job,
    "vanishing-gradients": vanishing_gradients,
    "weights-growing": weights_growing,
}
