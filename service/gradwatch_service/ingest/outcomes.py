"""Turns an exception into a value, at the two borders of ingest where anything may fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def outcome_of(action: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | Exception:
    """What the action returned, or what it raised.

    The one broad except of ingest. A rule that raises must not cost the data it was shown, and
    one push that breaks something must not cost its neighbours or the thread that serves all.
    """
    try:
        return action(*args, **kwargs)
    except Exception as error:  # noqa: BLE001
        return error
