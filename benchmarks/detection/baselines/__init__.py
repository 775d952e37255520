"""Other people's detectors, one file each; ``catalogue`` finds them."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from benchmarks.detection.baselines.baseline import Baseline


@cache
def catalogue() -> tuple[Baseline, ...]:
    """Every baseline that a module of this folder lists as ``BASELINES``, by module and order."""
    modules = [
        importlib.import_module(f"{__name__}.{module.name}")
        for module in pkgutil.iter_modules(__path__)
    ]
    return tuple(one for module in modules for one in getattr(module, "BASELINES", ()))
