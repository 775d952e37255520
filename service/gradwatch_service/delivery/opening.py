"""Opens the channels that are stored, through the operator's one way out."""

from __future__ import annotations

from gradwatch_service.delivery.courier import OpenChannel
from gradwatch_service.notify.channel import Channel
from gradwatch_service.notify.channels import open_channel
from gradwatch_service.notify.outgoing import Outgoing
from gradwatch_service.store.channels import ChannelRow


def opener(outgoing: Outgoing) -> OpenChannel:
    """What opens a channel as it is stored."""

    def open_stored(row: ChannelRow) -> Channel:
        return open_channel(row.kind, row.settings, outgoing)

    return open_stored
