"""Decides what may page a person: a fusion of rules, never a lone spike (DETECTORS section 3)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final

from gradwatch_service.detect.fixedpoint import as_value
from gradwatch_service.detect.tuning import muted
from gradwatch_service.diagnose.history import MOST_SKIPS
from gradwatch_service.diagnose.signs import (
    BEGINNING,
    LARGE_RATIO,
    RELATIVE_BITS,
    rate_jumped,
    rushes,
    units_die,
)
from gradwatch_service.diagnose.situation import LEVEL_SHIFT, SPIKES, Situation
from gradwatch_service.domain import Severity

_VERY_LARGE_RATIO = 0.05
_UNHELD = 32.0


def is_actionable(rules: Collection[str], situation: Situation) -> bool:
    """Whether the findings ``rules`` of an alert, seen in this situation, call for a person."""
    silent = muted(situation.facts.rules)
    loud = [rule for rule in _FUSIONS if rule in rules and rule not in silent]
    return any(_FUSIONS[rule](situation) for rule in loud)


def _at_least(rule: str, severity: Severity) -> Callable[[Situation], bool]:
    return lambda s: s.at_least(rule, severity)


def _large_updates(s: Situation) -> bool:
    """Updates were huge, or are ≥ .05 of the weights now, or ≥ .02 and 2 bits over their past.

    The past counts from report 32 on; a pace at which the run learns is none of these.
    """
    if s.sees("update-step-huge"):
        return True
    learns = s.sees("update-ratio-high") and not s.at_least("update-ratio-high", Severity.WARNING)
    if s.uw is None or learns:
        return False
    new = s.uw_rise >= RELATIVE_BITS or s.ordinal < BEGINNING
    return s.uw >= (LARGE_RATIO if new else _VERY_LARGE_RATIO)


def _update_ratio(s: Situation) -> bool:
    """Uw ≥ .05; or ≥ .01 and 2 bits over its past as the learning rate rose, and the loss not fell.

    At a constant rate updates also grow where a run finds its way at last.
    """
    faster = s.rates.rising or rate_jumped(s) is not None
    risen = rushes(s) and s.uw_rise >= RELATIVE_BITS and faster and not s.falling
    return s.at_least("update-ratio-high", Severity.WARNING if risen else Severity.ERROR)


def _growth(s: Situation) -> bool:
    """Overflow is near, or something else is wrong already."""
    if s.at_least("gradient-growth", Severity.CRITICAL):
        return True
    return s.sees("loss-divergence") or _grave_onset(s) or _large_updates(s)


def _grave_onset(s: Situation) -> bool:
    """Gradients are restless as the learning rate rises, or with large updates."""
    return s.at_least("instability-onset", Severity.ERROR)


def _divergence(s: Situation) -> bool:
    """The rule itself makes it an error where updates are large, or not known."""
    grave = s.at_least("loss-divergence", Severity.ERROR)
    shifted = s.at_least("loss-divergence", Severity.WARNING) and _shift(s)
    return grave or shifted or _grave_onset(s) or _large_updates(s)


def _shift(s: Situation) -> bool:
    """The norm jumped by 10x together with the loss, and has not come back."""
    return s.at_least("gradient-spike", Severity.ERROR) and (s.spike_class or 0) >= LEVEL_SHIFT


def _above_initial(s: Situation) -> bool:
    grave = s.at_least("loss-above-initial", Severity.ERROR)
    return grave and (s.sees(*SPIKES, "instability-onset") or _large_updates(s))


def _through_time(s: Situation) -> bool:
    """Growth is critical, no clipping limit holds it, or something else is wrong already."""
    if s.at_least("explosion-through-time", Severity.CRITICAL):
        return True
    seen = s.sees("gradient-growth", "early-explosion", "non-finite", "loss-divergence", *SPIKES)
    return seen or not s.clip_norm or _large_updates(s)


def _dead(s: Situation) -> bool:
    """Most of the net is dead, or units die of large updates."""
    return s.at_least("dead-layer", Severity.ERROR) or units_die(s) is not None


def _rushed(rule: str) -> Callable[[Situation], bool]:
    """The rule is an error, and updates are ≥ .01 and 2 bits over their past."""

    def holds(s: Situation) -> bool:
        return rushes(s) and s.uw_rise >= RELATIVE_BITS and s.at_least(rule, Severity.ERROR)

    return holds


def _spike(s: Situation) -> bool:
    return _guard_used_up(s) or _rushed("gradient-spike")(s) or _unheld(s)


def _unheld(s: Situation) -> bool:
    """In a recurrent net norm and loss jumped at once, the norm to 32x, and nothing held it.

    Such nets have cliffs (Pascanu et al. 2013): from one step to the next all may be lost.
    """
    blow = s.blow
    recurrent = any(layer.kind == "recurrent" for layer in s.layers.layers)
    if blow is None or not blow.in_loss or s.ordinal != blow.last or not (recurrent and s.normal):
        return False
    return as_value(blow.peak) >= _UNHELD * s.normal and not s.clip_norm and not s.skips


def _guard_used_up(s: Situation) -> bool:
    """The guard has skipped as many updates as it may: it cannot help any longer."""
    return s.skips >= MOST_SKIPS


_FUSIONS: Final[Mapping[str, Callable[[Situation], bool]]] = {
    "adam-moment-lag": _rushed("adam-moment-lag"),
    "attention-logit": _at_least("attention-logit", Severity.ERROR),
    "dead-layer": _dead,
    "early-explosion": lambda _: True,
    "explosion-through-time": _through_time,
    "gradient-growth": _growth,
    "gradient-spike": _spike,
    "init-gain-profile": lambda _: True,
    "instability-onset": lambda s: _large_updates(s) and not s.falling,
    "layer-spike": _at_least("layer-spike", Severity.ERROR),
    "loss-above-initial": _above_initial,
    "loss-divergence": _divergence,
    "loss-scale-collapse": _at_least("loss-scale-collapse", Severity.ERROR),
    "loss-spike": _guard_used_up,
    "non-finite": _at_least("non-finite", Severity.ERROR),
    "rank-outlier": _at_least("rank-outlier", Severity.ERROR),
    "replica-divergence": lambda _: True,
    "stale-run": _at_least("stale-run", Severity.ERROR),
    "update-ratio-high": _update_ratio,
    "update-step-huge": lambda _: True,
    "weight-growth": _at_least("weight-growth", Severity.ERROR),
}
