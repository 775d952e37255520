"""One file per kind of channel, found by itself; each holds ``Settings`` and ``Way``.

``Way(settings, outgoing).deliver(message)`` sends; the name of the file is the kind.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from gradwatch_service.errors import Invalid, ItemError
from gradwatch_service.notify.channel import Channel, UndeliveredError
from gradwatch_service.notify.message import Message
from gradwatch_service.notify.options import Options
from gradwatch_service.notify.outgoing import Outgoing

SHOWN_MAX = 5
SPOTS = range(100)  # in a list


@cache
def kinds() -> Mapping[str, ModuleType]:
    """Every kind of channel there is."""
    names = (module.name for module in pkgutil.iter_modules(__path__))
    return {name: importlib.import_module(f"{__name__}.{name}") for name in sorted(names)}


def check(kind: str, settings: Mapping[str, Any], outgoing: Outgoing) -> Options:
    """The settings of a channel as its kind reads them.

    Raises:
        Invalid: with what is wrong, in plain words; it never repeats a value.
    """
    known = kinds().get(kind)
    if known is None:
        raise Invalid(
            f"there are these kinds of channel: {', '.join(kinds())}",
            errors=(ItemError("/kind", "unknown-kind"),),
        )
    try:
        checked: Options = known.Settings.model_validate(settings, context={"outgoing": outgoing})
    except ValidationError as error:
        raise _in_words(error, known.Settings) from None
    return checked


def schemas() -> Mapping[str, dict[str, Any]]:
    """What each kind can be set to, as JSON Schema says it; whether it can be reached it cannot."""
    return {kind: known.Settings.model_json_schema() for kind, known in kinds().items()}


def open_channel(kind: str, settings: Mapping[str, Any], outgoing: Outgoing) -> Channel:
    """The channel that these settings describe; what it does not want to hear, it passes over.

    Raises:
        UndeliveredError: they are no good, or no longer; permanent.
    """
    try:
        options = check(kind, settings, outgoing)
    except Invalid as error:
        raise UndeliveredError(f"its settings: {error.detail}", permanent=True) from error
    return _Selective(kinds()[kind].Way, options, outgoing)


def masked(kind: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What may be shown of the settings of a channel; nothing if its kind is no longer known."""
    known = kinds().get(kind)
    return {} if known is None else dict(known.Settings.masked(settings))


class _Selective:
    """A channel that is told only what it wants to hear."""

    def __init__(
        self, way: Callable[[Options, Outgoing], Channel], options: Options, outgoing: Outgoing
    ) -> None:
        self._way = way
        self._options = options
        self._outgoing = outgoing

    def deliver(self, message: Message) -> None:
        """Deliver what of the message is wanted."""
        selected = self._options.selected(message)
        if selected is not None:
            self._way(self._options, self._outgoing.begun()).deliver(selected)


def _in_words(error: ValidationError, known: type[Options]) -> Invalid:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    fields = ", ".join(known.model_fields)
    words, places = [], []
    for item in found[:SHOWN_MAX]:
        place = [str(part) for part in item["loc"] if part in known.model_fields or part in SPOTS]
        is_unknown = item["type"] == "extra_forbidden"
        said = f"there are only these settings: {fields}" if is_unknown else item["msg"]
        words.append(f"{'.'.join(place)}: {said}" if place else said)
        places.append(ItemError("/".join(["/settings", *place]), item["type"].replace("_", "-")))
    return Invalid("; ".join(words), errors=tuple(places))
