"""One file per detector; ``catalogue`` finds them, so that adding one touches nothing else."""

from __future__ import annotations

import importlib
import pkgutil
from functools import lru_cache
from typing import Any

from gradwatch_service.detect.rule import Rule
from gradwatch_service.detect.tuning import changed
from gradwatch_service.domain import RuleChanges

_REMEMBERED = 256


@lru_cache(_REMEMBERED)
def catalogue(changes: RuleChanges = ()) -> tuple[Rule[Any], ...]:
    """Every rule of this folder in the order of their ids: those that judge, as they are set."""
    if changes:
        rules_as_set = (changed(rule, changes) for rule in catalogue())
        return tuple(rule for rule in rules_as_set if rule is not None)
    rules: list[Rule[Any]] = []
    for module in pkgutil.iter_modules(__path__):
        found = importlib.import_module(f"{__name__}.{module.name}")
        rules += [
            value()
            for value in vars(found).values()
            if hasattr(value, "clear_after") and value.__module__ == found.__name__
        ]
    return tuple(sorted(rules, key=lambda rule: rule.id))
