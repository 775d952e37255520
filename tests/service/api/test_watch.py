"""Who listens to a process that looks: what each is told, and when they have to read anew."""

from __future__ import annotations

from pathlib import Path

import anyio

from gradwatch_service.api.listener import RESET, Listener
from gradwatch_service.api.sightings import REMEMBERED
from gradwatch_service.api.watch import Live
from tests.service.api.conftest import served


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
