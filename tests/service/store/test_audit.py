import datetime as dt

from sqlalchemy import Engine

from gradwatch_service.store import audit

NOW = dt.datetime(2026, 11, 27, 12, tzinfo=dt.UTC)


def test_acts_are_read_page_by_page_the_newest_first_and_by_project(engine: Engine):
    with engine.begin() as connection:
        for number in range(5):
            when = NOW + dt.timedelta(seconds=number // 2)
            audit.note(connection, "a", "anna", "channel-made", str(number), {}, now=when)
        audit.note(connection, "b", "bert", "channel-made", "9", {"kind": "mail"}, now=NOW)
        seen, cursor = [], None
        for _ in range(3):
            page = audit.entries(connection, "a", cursor, limit=2)
            seen += [item["target"] for item in page.items]
            cursor = page.next_cursor
        assert cursor is None
        assert seen == ["4", "3", "2", "1", "0"]
        (only,) = audit.entries(connection, "b").items
    assert (only["actor"], only["act"], only["detail"]) == (
        "bert",
        "channel-made",
        {"kind": "mail"},
    )
