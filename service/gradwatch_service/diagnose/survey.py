"""Builds the situation at one report from the view, the history and the findings held."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from gradwatch_service.detect.baseline import RING
from gradwatch_service.detect.fixedpoint import FLOOR, ONE_BIT, as_value, bits
from gradwatch_service.detect.rules.explosion_through_time import backward_slope, time_steps
from gradwatch_service.detect.rules.init_gain_profile import chain, gain_bits
from gradwatch_service.detect.view import Track, View
from gradwatch_service.diagnose.guard import armed, skip_above
from gradwatch_service.diagnose.history import SAME_SPIKE, History, zeros_share
from gradwatch_service.diagnose.mover import first_mover, moving
from gradwatch_service.diagnose.situation import Held, Situation
from gradwatch_service.diagnose.troubles import healthy
from gradwatch_service.domain import Facts

SHIFT_AFTER = 96
_WINDOW = 16


def survey(
    view: View,
    row: int,
    history: History,
    held: Mapping[str, Held],
    *,
    facts: Facts,
    max_norm: float | None,
) -> Situation:
    """The situation at ``row``; ``history`` includes that row, ``max_norm`` is from before it."""
    norm, increment, step = view.norm, history.increment, int(view.step[row])
    skip = skip_above(norm.ready, norm.median, norm.scale, norm.limit)
    known = Situation(
        ordinal=int(view.ordinal[row]),
        step=step,
        increment=increment,
        facts=facts,
        layers=view.layers,
        held=held,
        scope=frozenset(held),
        guard=armed(max_norm, skip, step, increment),
        uw=_median_ratio(view, row),
        uw_rise=_rise(view.ratio, row),
        shifted=_shifted(view, row),
        falling=_falling(view, row),
        lower=_lower(view, row),
        normal=as_value(norm.median) if norm.ready else None,
        tail=norm.limit,
        clip_norm=_number(view, "clip_norm", row),
        loss_scale=_number(view, "loss_scale", row),
        zeros=_more_zeros(view, row, history.zeros),
        lag=_lag(view, row),
        beta=_time_slope(view, row, held),
        through=_through(view, row),
    )
    return _with_layers(_remembered(known, history), view, row, history)


def _remembered(s: Situation, history: History) -> Situation:
    """With what the history knows."""
    high = history.high[-SAME_SPIKE:]
    ends = np.flatnonzero(high)
    checkpoints = history.announced("checkpoint", s.step)
    return replace(
        s,
        rates=history.rates,
        trials=history.trials,
        phases=history.announced("phase", s.step),
        checkpoints=healthy(checkpoints, history.troubles, s.increment, history.fresh(s.ordinal)),
        first_step=history.first_step or 0,
        high_reports=int(high.sum()),
        burst=len(ends) > 0 and bool(high[ends[0] : ends[-1] + 1].all()),
        spikes=history.spikes_until(s.ordinal),
        blow=history.blows.newest,
        skips=history.skips_until(s.ordinal),
        unclipped_since=history.limits.lifted(s.ordinal),
        standing=history.standing,
        broken=history.broken,
        largest=history.largest,
        gains=history.gains,
    )


def _with_layers(s: Situation, view: View, row: int, history: History) -> Situation:
    """With the layers that move, and whose weights grow."""
    hot = moving(view, row, history.heat)
    active = tuple(x for x in s.held.values() if x.active)
    return replace(
        s,
        mover=first_mover(view, row, history.heat, active),
        hot_layers=tuple(view.layers.names[column] for column in hot),
        moving=len(hot) / max(int(view.layer.ok[row].sum()), 1),
        grown=history.weights.growth(view, row),
        norms_gone=_norms_gone(view, row, history),
    )


def _norms_gone(view: View, row: int, history: History) -> bool:
    columns = [i for i, layer in enumerate(view.layers.layers) if layer.kind == "norm"]
    track, known = view.layer, history.heat.first[columns] > FLOOR
    if not known.any() or not track.ok[row].any():
        return False
    gets = track.ok[row, columns] & (track.y[row, columns] > FLOOR)
    return not (gets | track.bad[row, columns])[known].any()


def initial_gains(view: View, row: int) -> dict[str, float]:
    """By which factor each layer of the chain amplifies, in the direction that amplifies more.

    Dividing a weight by its factor gives it the critical gain (DETECTORS section 4).
    """
    norms, columns = view.stats["weight_norm"], chain(view.layers)
    gains = gain_bits(view.layers, columns, norms[row].astype(np.float64))
    worst = gains[int(gains.sum(axis=1).argmax())]
    return {
        view.layers.names[column]: 2.0 ** float(gain)
        for column, gain in zip(columns, worst, strict=True)
    }


def _value(track: Track, row: int) -> float | None:
    return as_value(track.y[row]) if track.ok[row] else None


def _number(view: View, name: str, row: int) -> float | None:
    value = float(view.measured(name)[row])
    return None if np.isnan(value) else value


def _lag(view: View, row: int) -> float | None:
    """The median over layers of rms(g/√v); 1 is right."""
    values = view.stat("moment_rms")
    known = None if values is None else np.sort(values[row][np.isfinite(values[row])])
    return float(known[len(known) // 2]) if known is not None and len(known) else None


def _median_ratio(view: View, row: int) -> float | None:
    ratio = view.ratio
    if not ratio.ok[row] or ratio.count[row] < _WINDOW:
        return _value(ratio, row)
    return as_value(np.sort(ratio.window(_WINDOW)[row])[_WINDOW // 2])


def _rise(track: Track, row: int) -> float:
    return float(track.y[row] - track.slow) / ONE_BIT if track.ok[row] and track.ready else 0.0


def _time_slope(view: View, row: int, held: Mapping[str, Held]) -> float | None:
    """β of this report's time profile, else what explosion-through-time saw last."""
    profile = view.profiles.get("time")
    if profile is not None:
        beta, known = backward_slope(profile[row : row + 1])
        if known[0]:
            return float(beta[0])
    through_time = held.get("explosion-through-time")
    slope = through_time.fact("time-slope") if through_time else None
    return slope.value if slope else None


def _through(view: View, row: int) -> float | None:
    """Bits by which this report's gradient grows on its way back through the sequence."""
    profile = view.profiles.get("time")
    if profile is None:
        return None
    beta, known = backward_slope(profile[row : row + 1])
    return float(beta[0]) * int(time_steps(profile[row : row + 1])[0]) if known[0] else None


def _shifted(view: View, row: int) -> bool:
    """Norm and loss stand over their levels of long ago: by 1 and .15 bit; the loss rests there."""
    norm, loss = view.norm, view.loss
    if min(norm.count[row], loss.count[row]) < SHIFT_AFTER:
        return False
    rise = 4 * loss.scale if loss.linear else bits(0.15)
    early, late = _level(loss, row, slice(0, 8)), _level(loss, row, slice(8, 16))
    rests = late - early < 2 * rise
    return (
        rests
        and _level(norm, row, slice(0, 16)) - norm.slow >= bits(1.0)
        and _level(loss, row, slice(0, 16)) - loss.slow >= rise
    )


def _lower(view: View, row: int) -> bool:
    """The loss of the last 16 reports is 2 % (a scale) below its level of long ago."""
    loss = view.loss
    if loss.count[row] < SHIFT_AFTER:
        return False
    fall = loss.scale if loss.linear else bits(0.03)
    return _level(loss, row, slice(0, 16)) < loss.slow - fall


def _falling(view: View, row: int) -> bool:
    """Over the last 64 values the loss has come down by more than its noise, and by 2 %."""
    loss = view.loss
    if not loss.ready or loss.count[row] < RING:
        return False
    values = loss.window(RING)[row]
    early, late = np.sort(values[:_WINDOW]), np.sort(values[-_WINDOW:])
    fall = int(early[_WINDOW // 2]) - int(late[_WINDOW // 2])
    return fall > (loss.scale if loss.linear else max(loss.scale, bits(0.03)))


def _more_zeros(view: View, row: int, at_first: float | None) -> float:
    now = zeros_share(view, slice(row, row + 1))
    return 0.0 if now is None or at_first is None else now - at_first


def _level(track: Track, row: int, part: slice) -> int:
    """Upper median of part of the last 16 values."""
    values = np.sort(track.window(_WINDOW)[row][part])
    return int(values[len(values) // 2])
