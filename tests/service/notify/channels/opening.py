"""How the tests open channels: with the way out that an operator allowed to reach loopback."""

from __future__ import annotations

from typing import Any

import pytest

from gradwatch_service.notify.addresses import Allowed
from gradwatch_service.notify.channel import Channel, UndeliveredError
from gradwatch_service.notify.channels import open_channel
from gradwatch_service.notify.message import Message
from gradwatch_service.notify.outgoing import Outgoing

LOOPBACK = Outgoing(Allowed.parse("127.0.0.0/8"), deadline_seconds=5)


def opened(kind: str, outgoing: Outgoing = LOOPBACK, **settings: Any) -> Channel:
    return open_channel(kind, settings, outgoing)


def failure(channel: Channel, message: Message) -> UndeliveredError:
    """Why it is not delivered."""
    with pytest.raises(UndeliveredError) as caught:
        channel.deliver(message)
    return caught.value
