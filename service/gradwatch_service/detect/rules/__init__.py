"""One file per detector; ``catalogue`` finds them, so that adding one touches nothing else."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Any

from gradwatch_service.detect.rule import Rule


@cache
def catalogue() -> tuple[Rule[Any], ...]:
    """Every rule of this folder with its default thresholds, in the order of their ids."""
    rules: list[Rule[Any]] = []
    for module in pkgutil.iter_modules(__path__):
        found = importlib.import_module(f"{__name__}.{module.name}")
        rules += [
            value()
            for value in vars(found).values()
            if hasattr(value, "clear_after") and value.__module__ == found.__name__
        ]
    return tuple(sorted(rules, key=lambda rule: rule.id))
