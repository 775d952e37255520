"""What every channel can be set to, whatever its kind: which alerts it wants to hear of."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError

from gradwatch_service.domain import Severity
from gradwatch_service.notify.message import Message, Subject
from gradwatch_service.notify.outgoing import Outgoing

URL_MAX = 2_048
ADDRESS = "url"  # what every kind calls the setting that is an address


class Options(BaseModel):
    """``settings`` of a channel; secrets are ``SecretStr``, so that nobody prints one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_severity: Literal["info", "warning", "error", "critical"] = "info"
    send_resolved: bool = True

    def stored(self) -> dict[str, Any]:
        """Everything, to be kept."""
        return {key: _open(value) for key, value in self.model_dump().items()}

    @classmethod
    def masked(cls, stored: Mapping[str, Any]) -> dict[str, Any]:
        """What may be shown of settings that are kept, be they still good or not."""
        return {
            key: _masked(key, value) if _is_secret(cls.model_fields[key].annotation) else value
            for key, value in stored.items()
            if key in cls.model_fields
        }

    def selected(self, message: Message) -> Message | None:
        """The part of a message that this channel wants; None: nothing of it is.

        The end of a run is not too mild: who was told of a beginning is told of its end.
        """
        if message.kind == "test":
            return message
        least = Severity[self.min_severity.upper()]
        grave = {one.run_id for one in message.subjects if one.is_firing or one.severity >= least}
        subjects = tuple(
            one for one in message.subjects if one.severity >= least or one.run_id not in grave
        )
        is_firing = any(one.is_firing for one in subjects)
        is_wanted = is_firing or self.send_resolved
        if not (is_wanted and _has_news(message, subjects)):
            return None
        kind = message.kind if is_firing or message.kind == "digest" else "resolved"
        return replace(message, subjects=subjects, kind=kind)


def _has_news(message: Message, subjects: Sequence[Subject]) -> bool:
    return bool(subjects) and (message.repeats or any(one.is_news for one in subjects))


def _open(value: object) -> object:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def _is_secret(annotation: object) -> bool:
    return annotation is SecretStr or any(map(_is_secret, get_args(annotation)))


def _masked(key: str, value: object) -> str | None:
    """Of a secret address, the part that tells people which it is; of other secrets nothing."""
    if value is None:
        return None
    scheme, separator, rest = str(value).partition("://")
    if not separator or key != ADDRESS:
        return "***"
    is_web = scheme in {"http", "https"}
    host = re.split(r"[/?#\\]", rest)[0].rpartition("@")[2] if is_web else ""
    return f"{scheme}://{host}/***" if host else f"{scheme}://***"


def outgoing_of(info: ValidationInfo) -> Outgoing:
    """The way out that settings are checked against."""
    outgoing: Outgoing = info.context["outgoing"]  # type: ignore[index]
    return outgoing


def _reachable(value: SecretStr, info: ValidationInfo) -> SecretStr:
    unfit = outgoing_of(info).why_not(value.get_secret_value())
    if unfit:
        raise PydanticCustomError("address-refused", "{why}", {"why": unfit})
    return value


def _on_one_line(value: SecretStr) -> SecretStr:
    if not all(" " <= character <= "~" for character in value.get_secret_value()):
        raise PydanticCustomError("bad-line", "it must be printable ASCII on one line")
    return value


Secret = Annotated[SecretStr, Field(min_length=1, max_length=URL_MAX)]
Url = Annotated[Secret, AfterValidator(_reachable)]
SecretLine = Annotated[Secret, AfterValidator(_on_one_line)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=254, pattern=r"^[ -~]+$")]
