"""Pushes in any order and grouping, through restarts; and a verdict to compare between runs."""

from __future__ import annotations

import json
import random
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Engine

from gradwatch_service.ingest.pushes import FramePush
from gradwatch_service.ingest.writer import Limits, Writer
from tests.service.ingest.rig import DEADLINE, verdict

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def ingest(engine: Engine, pushes: Sequence[FramePush], group: int, lives: int) -> None:
    """Hand the pushes over in groups of this size, to so many writers one after the other."""
    size = -(-len(pushes) // lives)
    for first in range(0, len(pushes), size):
        writer = Writer(engine, limits=Limits(jobs_in_group=group))
        pending = [writer.submit(push) for push in pushes[first : first + size]]
        writer.start()
        assert {one.result(DEADLINE).status for one in pending} == {"stored"}
        writer.stop()


def shuffled(pushes: Mapping[str, list[FramePush]], seed: int) -> list[FramePush]:
    """The writers' pushes in any order between writers; now and then two of one are swapped."""
    chance = random.Random(seed)
    order = [writer for writer in pushes for _ in pushes[writer]]
    chance.shuffle(order)
    queues = {writer: list(queue) for writer, queue in pushes.items()}
    for queue in queues.values():
        for index in range(1, len(queue)):
            if chance.random() < 0.2:
                queue[index - 1], queue[index] = queue[index], queue[index - 1]
    return [queues[writer].pop(0) for writer in order]


def anonymous(engine: Engine, run_id: uuid.UUID) -> dict[str, Any]:
    """The verdict on a run without the ids that follow from the run's."""
    text = json.dumps(verdict(engine, run_id), sort_keys=True)
    return json.loads(UUID.sub("id", text))
