"""What the routes of channels take and answer."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, JsonValue

from gradwatch_service.api.bodies import Body, Free, Name, Word
from gradwatch_service.api.shapes import Shape
from gradwatch_service.notify.channels import schemas

_KINDS: list[JsonValue] = [
    {"properties": {"kind": {"const": kind}, "settings": settings}}
    for kind, settings in schemas().items()
]


class ChannelBody(Body):
    """``POST /projects/{project}/channels``; docs/channels.md has the settings of each kind."""

    model_config = ConfigDict(json_schema_extra={"oneOf": _KINDS})

    kind: Word
    name: Name
    settings: Free
    enabled: bool = True


class ChannelChanges(Body):
    """``PATCH …/{channel_id}``: what is given is changed.

    ``min_severity`` and ``send_resolved`` can be set alone; other settings come all together, so
    that no secret is sent to an address it was not given for.
    """

    name: Name | None = None
    enabled: bool | None = None
    settings: Free | None = None


class Channel(Shape):
    """To whom alerts go; secrets are left out of the settings."""

    id: uuid.UUID
    project: str
    name: str
    kind: str
    settings: Annotated[dict[str, Any], Field(description="secrets are masked")]
    enabled: bool
    created_at: dt.datetime
    created_by: str


class Delivered(Shape):
    """The other side has taken the message."""

    delivered: Literal[True]
