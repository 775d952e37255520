"""Spool files whose writers are dead."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from gradwatch.config import Config
from gradwatch.frames import encode
from gradwatch.launch import Launch
from gradwatch.layers import Layer, LayerTable
from gradwatch.notices import Notices
from gradwatch.records import Report
from gradwatch.spool.entries import Frame
from gradwatch.spool.lane import Lane

OTHER_RUN = "01935b2e-7a4c-7000-8000-000000000002"


def orphan(run: str = OTHER_RUN, *, frames: int = 2, ended: bool = False, **facts: Any) -> Path:
    """What a job left that was killed a while ago."""
    config = Config(**({"url": "http://127.0.0.1:8321"} | facts))
    lane = Lane.begin(Launch(run, "lm", "l0"), "r0-dead", config, Notices())
    table = LayerTable([Layer("fc")])
    body = encode([Report(7, 0.0, table, {"loss": 1.0})])
    for _ in range(frames):
        lane.put(Frame(body, 1, table.hash), table)
    if ended:
        lane.finish({"state": "failed"})
    lane.leave()
    assert lane.path is not None
    os.utime(lane.path, (1_000_000, 1_000_000))
    return lane.path
