"""Which reports may wait to be judged: those in which a rule that acts at once can see nothing.

Judging sixteen reports at once costs little more than judging one. So reports that are as usual
wait until their block of 16 is full, or until nothing else is to be done; how reports are cut
changes nothing in the fold. Rules that look at trends may speak some pushes later, never otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from gradwatch_service.detect.baseline import RING
from gradwatch_service.detect.fixedpoint import ONE_BIT, as_value
from gradwatch_service.detect.rules import catalogue
from gradwatch_service.detect.rules.attention_logit import AttentionLogit
from gradwatch_service.detect.rules.update_step_huge import UpdateStepHuge
from gradwatch_service.detect.scalars import LOSS, NORM
from gradwatch_service.detect.substrate import SubstrateState
from gradwatch_service.detect.update_ratio import floors, typical
from gradwatch_service.diagnose.fold import WriterState
from gradwatch_service.diagnose.situation import SPIKES
from gradwatch_service.domain import (
    Float32Array,
    FloatArray,
    Frame,
    RuleChanges,
    Severity,
    is_missing,
)

SCALES, LAYER_SCALES, LAYER_BITS = 3.9, 5.0, 1.75  # below what rules of single reports ask for
LOGIT = "attention_logit_max"
_REMEMBERED = 256
COUNTS = ("grad_nonfinite", "weight_nonfinite")


@dataclass(frozen=True, slots=True)
class Calm:
    """What a report may be like to wait; ``columns``: the hash of the table of ``layers``.

    ``norm`` and ``loss``: limits of the scalars; ``layers`` float32[L]: limits of the layers'
    gradient norms; ``ratio`` float32[L]: the least weight norm that counts, without end for layers
    that say nothing of the size of updates; ``huge``, ``logits``: what rules that need no history
    ask for.
    """

    columns: str
    norm: float
    loss: float
    layers: Float32Array
    ratio: Float32Array
    huge: float
    logits: float

    def holds(self, frame: Frame) -> bool:
        """Whether every report of the frame may wait."""
        if frame.events or frame.profiles or not len(frame):
            return False
        if frame.layers and frame.layers_hash != self.columns:
            return False
        with np.errstate(all="ignore"):
            return self._scalars(frame.scalars) and self._layers(frame.layers)

    def _scalars(self, scalars: Mapping[str, FloatArray]) -> bool:
        """Comparisons with a NaN are false: it never may wait."""
        loss, norm, found = scalars.get("loss"), scalars.get("grad_norm"), scalars.get("found_inf")
        logits = scalars.get(LOGIT)
        return (
            (loss is None or bool(loss.max() <= self.loss and loss.min() >= 0))
            and (norm is None or bool(norm.max() <= self.norm))
            and (found is None or not found.any())
            and (logits is None or bool(logits.max() < self.logits))
        )

    def _layers(self, layers: Mapping[str, Float32Array]) -> bool:
        none = np.zeros((1, 1), np.float32)
        if (layers.get("grad_norm", none) > self.layers).any():
            return False
        if (layers.get(LOGIT, none) >= self.logits).any() or self._moves_far(layers):
            return False
        if any(layers[name].any() for name in COUNTS if name in layers):
            return False
        return all(map(_is_finite, layers.values()))

    def _moves_far(self, layers: Mapping[str, Float32Array]) -> bool:
        """Whether a typical layer is updated by a large share of its weights."""
        update, weight = layers.get("update_norm"), layers.get("weight_norm")
        if update is None or weight is None:
            return False
        return bool((update > self.huge * np.maximum(weight, self.ratio)).any())


def calm(state: WriterState) -> Calm | None:
    """The limits from here on; None while every report is to be judged at once."""
    base = state.detector.substrate
    if base.ordinal < RING or base.loss_shift is not None or _is_watched(state):
        return None
    if not (base.scalars.ready[NORM] and base.scalars.ready[LOSS]):
        return None
    huge, logits = _at_once(state.facts.rules)
    return Calm(
        columns=base.layers.hash if len(base.layers) else "",
        norm=_limit(base, NORM),
        loss=_limit(base, LOSS),
        layers=_of_layers(base),
        ratio=_of_ratio(base),
        huge=huge,
        logits=logits,
    )


@lru_cache(_REMEMBERED)
def _at_once(changes: RuleChanges) -> tuple[float, float]:
    """The limits of those rules; none of one that does not judge."""
    kept = catalogue(changes)
    huge = (rule.huge for rule in kept if isinstance(rule, UpdateStepHuge))
    logits = (rule.warning for rule in kept if isinstance(rule, AttentionLogit))
    return next(huge, math.inf), next(logits, math.inf)


def _is_watched(state: WriterState) -> bool:
    """Whether something is wrong, or a spike not yet over."""
    grave = any(x.live and x.part.severity >= Severity.WARNING for x in state.cases.values())
    waiting = any(case.due is not None for case in state.cases.values())
    episodes = state.detector.episodes.items()
    held = any(
        one.active and (one.severity >= Severity.WARNING or rule in SPIKES)
        for rule, one in episodes
    )
    return grave or waiting or held


def _limit(base: SubstrateState, column: int) -> float:
    usual = base.scalars
    return as_value(int(usual.median[column]) + round(SCALES * int(usual.scale[column])))


def _of_layers(base: SubstrateState) -> Float32Array:
    """Until a layer has a baseline of its own nothing can be said against it."""
    usual = base.layer
    above = np.maximum(LAYER_SCALES * usual.scale.astype(np.float64), LAYER_BITS * ONE_BIT)
    bits = (usual.median + above) / ONE_BIT
    with np.errstate(over="ignore"):  # beyond what a float32 holds there is no limit
        return np.where(usual.ready, np.exp2(bits), np.inf).astype(np.float32)


def _of_ratio(base: SubstrateState) -> Float32Array:
    least = np.full(len(base.layers), np.inf, np.float32)
    least[typical(base.layers)] = floors(base.layers)
    return least


def _is_finite(values: Float32Array) -> bool:
    """Whether all numbers are finite or not measured; their sum mostly tells."""
    if math.isfinite(np.add.reduce(values, axis=None)):
        return True
    return bool((np.isfinite(values) | is_missing(values)).all())
