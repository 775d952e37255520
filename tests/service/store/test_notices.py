import uuid

import pytest
from sqlalchemy import Engine

from gradwatch_service.errors import Conflict
from gradwatch_service.store import notices
from gradwatch_service.store.notices import Notice


def test_only_one_worker_moves_a_notice_on_from_a_version_be_it_the_first(engine: Engine):
    first = Notice(uuid.uuid4(), uuid.uuid4(), "p")
    with engine.begin() as connection:
        for _ in range(2):
            notices.move(connection, first)
            with pytest.raises(Conflict):
                notices.move(connection, first)
            first = notices.of_runs(connection, [first.run_id])[first.run_id, first.channel_id]
    assert first.version == 2
