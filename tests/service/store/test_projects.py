import datetime as dt
import uuid

from sqlalchemy import Engine

from gradwatch_service.store import projects
from gradwatch_service.store.launches import RunRequest, create_or_resume_run

NOW = dt.datetime(2026, 11, 27, 12, tzinfo=dt.UTC)


def test_projects_come_with_their_runs(engine: Engine):
    with engine.begin() as connection:
        projects.register(connection, "made", NOW)
        ids = [uuid.uuid4() for _ in range(3)]
        for number, (run_id, project) in enumerate(zip(ids, ("a", "a", "made"), strict=True)):
            request = RunRequest(run_id, project)
            create_or_resume_run(connection, request, NOW + dt.timedelta(hours=number))
        assert projects.seen_by(connection, None) == (
            {"name": "a", "runs": 2, "newest_run_at": "2026-11-27T13:00:00.000Z"},
            {"name": "made", "runs": 1, "newest_run_at": "2026-11-27T14:00:00.000Z"},
        )
        assert [item["name"] for item in projects.seen_by(connection, "made")] == ["made"]
        assert projects.seen_by(connection, "missing") == ()
        assert [projects.of_run(connection, run_id) for run_id in ids] == ["a", "a", "made"]
        assert projects.of_run(connection, uuid.uuid4()) is None
        assert projects.of_alert(connection, uuid.uuid4()) is None
