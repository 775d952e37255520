"""One file per action, named like it: ``apply`` does it and returns its undo, or None if it cannot.

``find`` finds them, so that adding an action touches nothing else.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from gradwatch.integrations.bench import Lever


@cache
def _names() -> frozenset[str]:
    return frozenset(module.name for module in pkgutil.iter_modules(__path__))


def find(action: str) -> Lever | None:
    """The lever of an action; None if there is none."""
    if action not in _names():
        return None
    lever: Lever = importlib.import_module(f"{__name__}.{action}").apply
    return lever
