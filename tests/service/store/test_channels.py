import datetime as dt
import uuid
from dataclasses import replace

import pytest
from sqlalchemy import Engine

from gradwatch_service.errors import NotFound
from gradwatch_service.store import channels
from gradwatch_service.store.channels import ChannelRow

CHANNEL = ChannelRow(
    project="lm",
    channel_id=uuid.UUID(int=1),
    name="on call",
    kind="email",
    settings={"to": ["a@b.org"], "port": 587},
    enabled=True,
    created_at=dt.datetime(2026, 11, 27, 13, 0, tzinfo=dt.UTC),
    created_by="somebody",
)


def test_a_channel_is_read_as_it_was_written(engine: Engine) -> None:
    with engine.begin() as connection:
        channels.add(connection, CHANNEL)
    with engine.connect() as connection:
        assert channels.of_project(connection, "lm") == (CHANNEL,)
        assert channels.get(connection, "lm", CHANNEL.channel_id) == CHANNEL
        assert channels.of_project(connection, "other") == ()


def test_a_change_leaves_the_rest(engine: Engine) -> None:
    with engine.begin() as connection:
        channels.add(connection, CHANNEL)
        changed = channels.change(connection, "lm", CHANNEL.channel_id, {"enabled": False})
    assert changed == replace(CHANNEL, enabled=False)
    with engine.connect() as connection:
        assert channels.of_project(connection, "lm") == (changed,)


def test_of_another_project_there_is_none(engine: Engine) -> None:
    with engine.begin() as connection:
        channels.add(connection, CHANNEL)
        for act in (channels.get, channels.remove):
            with pytest.raises(NotFound):
                act(connection, "other", CHANNEL.channel_id)
        channels.remove(connection, "lm", CHANNEL.channel_id)
        assert channels.of_project(connection, "lm") == ()
