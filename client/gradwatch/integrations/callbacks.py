"""The user's own functions: save, load, truncate. Their failures are logged, never passed on."""

from __future__ import annotations

import inspect
import logging

from gradwatch.watching import Callback, Means

logger = logging.getLogger("gradwatch")


class Callbacks:
    """Calls what the user gave; each method says whether it was done."""

    def __init__(self, means: Means) -> None:
        self._means = means

    def save(self, step: int) -> bool:
        """Save a checkpoint of this step: ``save(step)``."""
        return _call("save", self._means.save, step)

    def load(self, step: int, skip_data_to: int) -> bool:
        """Load the checkpoint of a step: ``load(step, skip_data_to=…)``, or ``load(step)``."""
        load = self._means.load
        args, kwargs = _load_arguments(load, step, skip_data_to) if load else ((), {})
        return _call("load", load, *args, **kwargs)

    def truncate(self, time_steps: int | None) -> bool:
        """Back-propagate through at most so many time steps; None: as many as before."""
        return _call("truncate", self._means.truncate, time_steps)


def _load_arguments(
    load: Callback, step: int, skip_data_to: int
) -> tuple[tuple[int, ...], dict[str, int]]:
    """By keyword if it knows ``skip_data_to``, by position if it needs a second argument."""
    try:
        signature = inspect.signature(load)
        kinds = {parameter.kind for parameter in signature.parameters.values()}
        if "skip_data_to" in signature.parameters or inspect.Parameter.VAR_KEYWORD in kinds:
            return (step,), {"skip_data_to": skip_data_to}
        signature.bind(step)
    except TypeError:
        return (step, skip_data_to), {}
    except ValueError:  # a builtin without a signature
        return (step,), {}
    return (step,), {}


def _call(name: str, function: Callback | None, *args: object, **kwargs: object) -> bool:
    """Call it unless there is none; False as a result means that it could not be done."""
    if function is None:
        return False
    try:
        return function(*args, **kwargs) is not False
    except Exception:  # foreign code: whatever it raises must not end the job
        logger.exception("gradwatch: the %s callback failed", name)
        return False
