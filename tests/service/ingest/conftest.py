"""A running writer, and a run to push to, on each database."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from gradwatch_service.ingest.writer import Writer
from tests.service.ingest.rig import create_run, serving


@pytest.fixture
def writer(engine: Engine) -> Iterator[Writer]:
    with serving(engine) as running:
        yield running


@pytest.fixture
def run_id(engine: Engine) -> uuid.UUID:
    return create_run(engine)
