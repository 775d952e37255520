"""What a series of another tool is here: a scalar, a layer's statistic, or as it is called; pure.

A rule is ``PATTERN=METRIC``. A star in the pattern stands for the name of a layer; without a
metric, the series is left out. Rules of the user come first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gradwatch.errors import BadConfig
from gradwatch.history.past_run import MAX, NORM
from gradwatch.values import is_name

_LOSS = "loss train_loss training_loss loss/train loss_train train_loss_step loss_step"
_NORM = (
    "grad_norm gradient_norm grad/norm grad_norm/total grad_norm_total total_grad_norm "
    "global_grad_norm grad_2.0_norm_total gradnorm"
)
_RATE = "lr learning_rate lr-* lr/*"
_RESERVED = ("step", "time", "layers")
_PREFIX = re.compile(r"(train|training)/", re.IGNORECASE)


class Target(NamedTuple):
    """A metric of the run, or of one of its layers."""

    metric: str
    layer: str | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """``metric`` None: left out."""

    pattern: re.Pattern[str]
    metric: str | None
    of_layers: bool

    @staticmethod
    def of(pattern: str, metric: str | None, *, of_layers: bool) -> Rule:
        """A rule for series whose names have this form, in whatever case."""
        expression = re.escape(pattern).replace(r"\*", "(.+)", 1).replace(r"\*", ".+")
        return Rule(re.compile(expression, re.IGNORECASE), metric, of_layers)

    def target(self, name: str) -> Target | None:
        """What it makes of a name that fits."""
        found = self.pattern.fullmatch(name)
        if found is None or self.metric is None:
            return None
        return Target(self.metric, found[1] if self.of_layers else None)


def _scalars(names: str, metric: str) -> list[Rule]:
    return [Rule.of(name, metric, of_layers=False) for name in names.split()]


def _layers(patterns: str, metric: str) -> list[Rule]:
    return [Rule.of(pattern, metric, of_layers=True) for pattern in patterns.split()]


_GRADIENTS = "gradients/* gradient/* grads/* grad/* *.grad */grad"
_WEIGHTS = "weights/* parameters/* params/*"
KNOWN: tuple[Rule, ...] = (
    *_scalars(_LOSS, "loss"),
    *_scalars(_NORM, "grad_norm"),
    *_scalars(_RATE, "lr"),
    *_layers(" ".join(pattern + NORM for pattern in _GRADIENTS.split()), "grad_norm"),
    *_layers(" ".join(pattern + MAX for pattern in _GRADIENTS.split()), "grad_max"),
    *_layers(" ".join(pattern + NORM for pattern in _WEIGHTS.split()), "weight_norm"),
    *_layers("grad_norm/* grad_norms/* gradient_norm/* grad_2.0_norm/*", "grad_norm"),
    *_layers("gradients/* gradient/* grads/* grad/*", "grad_norm"),
    *_layers("weight_norm/* weight_norms/* param_norm/*", "weight_norm"),
    *_layers("update_norm/* update_norms/*", "update_norm"),
)


def read_rules(given: Iterable[str]) -> tuple[Rule, ...]:
    """Rules as a user writes them.

    Raises:
        BadConfig: one of them is none.
    """
    return tuple(map(_read_rule, given))


def _read_rule(text: str) -> Rule:
    pattern, equals, metric = text.rpartition("=")
    if not (pattern and equals) or metric in _RESERVED:
        raise BadConfig(f"{text!r} is no rule; write --map 'TAG=METRIC' or --map 'TAG*=METRIC'")
    return Rule.of(pattern, metric or None, of_layers="*" in pattern and bool(metric))


def target_of(name: str, rules: Sequence[Rule] = ()) -> tuple[int, Target | None]:
    """By which rule, counted from the first, a series becomes what; None: it is left out."""
    plain = _PREFIX.sub("", name, count=1)
    tried = [*((rule, name) for rule in rules), *((rule, plain) for rule in KNOWN)]
    for place, (rule, tried_name) in enumerate(tried):
        if rule.pattern.fullmatch(tried_name):
            return place, _usable(rule.target(tried_name))
    return len(tried), under_its_own_name(name)


def under_its_own_name(name: str) -> Target | None:
    """The metric that is called as the series is; None: that cannot be."""
    if name.endswith((NORM, MAX)) or name in _RESERVED:
        return None
    return _usable(Target(name))


def _usable(target: Target | None) -> Target | None:
    if target is None or not is_name(target.metric):
        return None
    return target if target.layer is None or is_name(target.layer) else None
