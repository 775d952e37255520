"""Decides what may page a person: a fusion of rules, never a lone spike (DETECTORS section 3)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final

from gradwatch_service.diagnose.situation import Situation
from gradwatch_service.domain import Severity

_LARGE_UPDATES = ("update-ratio-high", "update-step-huge")
_SPIKES = ("gradient-spike", "loss-spike")
_LARGE_RATIO = 0.02
_SPIKE_WITHIN = 32


def is_actionable(rules: Collection[str], situation: Situation) -> bool:
    """Whether the findings ``rules`` of an alert, seen in this situation, call for a person."""
    return any(rule in rules and holds(situation) for rule, holds in _FUSIONS.items())


def _large_updates(s: Situation) -> bool:
    return s.sees(*_LARGE_UPDATES) or (s.uw is not None and s.uw >= _LARGE_RATIO)


def _update_ratio(s: Situation) -> bool:
    """Uw ≥ .05, or ≥ .01 with 2 bits over its past."""
    risen = s.uw is not None and s.uw >= 0.01 and s.uw_rise >= 2
    return risen or s.at_least("update-ratio-high", Severity.ERROR)


def _divergence(s: Situation) -> bool:
    spikes = [s.held[rule] for rule in _SPIKES if rule in s.held]
    opened = s.held["loss-divergence"].opened_ordinal
    near = any(abs(opened - spike.opened_ordinal) <= _SPIKE_WITHIN for spike in spikes)
    return near or _large_updates(s)


def _through_time(s: Situation) -> bool:
    return _large_updates(s) or s.sees("gradient-growth", "early-explosion", "non-finite", *_SPIKES)


_FUSIONS: Final[Mapping[str, Callable[[Situation], bool]]] = {
    "non-finite": lambda s: s.at_least("non-finite", Severity.ERROR),
    "init-gain-profile": lambda _: True,
    "update-step-huge": lambda _: True,
    "update-ratio-high": _update_ratio,
    "early-explosion": lambda s: (
        s.fact("early-explosion", "early-loss") is not None or _large_updates(s)
    ),
    "gradient-growth": lambda s: s.sees("loss-divergence") or _large_updates(s),
    "loss-divergence": _divergence,
    "loss-above-initial": lambda s: s.sees(*_SPIKES) or _large_updates(s),
    "explosion-through-time": _through_time,
}
