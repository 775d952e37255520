"""One file per cause; ``catalogue`` finds them, so that adding one touches nothing else."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from gradwatch_service.diagnose.cause import Cause


@cache
def catalogue() -> tuple[Cause, ...]:
    """Every cause of this folder, in the order in which equal scores are decided."""
    modules = (
        importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)
    )
    causes: list[Cause] = [module.CAUSE for module in modules]
    return tuple(sorted(causes, key=lambda cause: (cause.order, cause.id)))
