"""Who listens to a process that looks: what each is told, and when they have to read anew."""

from __future__ import annotations

import uuid
from pathlib import Path

import anyio
import pytest

from gradwatch_service.api.listener import RESET, Listener
from gradwatch_service.api.sightings import CAUGHT_UP_MOST, REMEMBERED
from gradwatch_service.api.watch import Live
from gradwatch_service.errors import Unavailable
from gradwatch_service.store.pulse import Key
from tests.service.api.conftest import served
from tests.service.api.test_sightings import ONE, Watch, run


async def begins(listener: Listener) -> None:
    while listener.is_new:
        await listener.wait(1.0)
    listener.take()


def test_after_a_long_gap_who_was_there_before_reads_anew(tmp_path: Path):
    with served(tmp_path) as api:
        live: Live = api.app.state.live

        async def heard() -> None:
            with anyio.fail_after(60):
                listener = live.join(None, None, None)
                await begins(listener)
                text = b""
                while RESET not in text:
                    sightings = live._sightings
                    assert sightings._looked is not None
                    sightings._looked -= 2 * REMEMBERED
                    await listener.wait(1.0)
                    text = listener.take()
                other = live.join(None, None, None)
                await begins(other)
                live.leave(listener)
                live.leave(other)

        api.portal.call(heard)


def test_who_is_to_be_told_too_much_reads_anew_and_others_are_told(tmp_path: Path):
    with served(tmp_path) as api:
        live: Live = api.app.state.live
        watch = Watch(live._sightings)
        watch.look({})
        loud: list[Key] = [("run", uuid.UUID(int=100 + one)) for one in range(CAUGHT_UP_MOST + 1)]
        due = watch.look({ONE: run(1), **{key: run(1, project="loud") for key in loud}})
        everything, calm = Listener(None, None, None), Listener("p", None, None)
        assert live._wanted(everything, due, set()) == []
        assert live._wanted(calm, due, set()) == [ONE]
        assert RESET in everything.take()
        assert calm.take() == b""


def test_any_number_of_events_can_be_read(tmp_path: Path):
    with served(tmp_path) as api:
        known = api.new_run().removeprefix("/runs/")
        many: list[Key] = [("run", uuid.UUID(int=number)) for number in range(33_000)]
        found = api.app.state.live._read([*many, ("run", uuid.UUID(known))])
        assert [*found] == [("run", uuid.UUID(known))]


def test_one_project_leaves_half_of_the_streams_to_others(tmp_path: Path):
    with served(tmp_path) as api:
        live: Live = api.app.state.live
        most = api.app.state.backend.settings.live_streams_max

        async def joined() -> None:
            theirs = [live.join("greedy", None, None) for _ in range(most // 2)]
            with pytest.raises(Unavailable, match="50 streams of this project"):
                live.join("greedy", None, None)
            others = [live.join("modest", None, None) for _ in range(most // 2)]
            with pytest.raises(Unavailable, match="100 streams"):
                live.join(None, None, None)
            for listener in (*theirs, *others):
                live.leave(listener)

        api.portal.call(joined)
