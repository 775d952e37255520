"""The rows of the alerts page: read, gathered into groups, named."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from gradwatch_service.api.alert_views import muted, run_of
from gradwatch_service.domain import AlertState
from gradwatch_service.notify.words import cause_in_words
from gradwatch_service.store import alert_groups, alerts, run_names
from gradwatch_service.store.alert_filters import AlertFilters
from gradwatch_service.store.alert_groups import Group
from gradwatch_service.store.codec import Json
from gradwatch_service.web.alert_query import TABS, AlertQuery, RowsQuery, Tab

ROWS, GROUPS = 50, 20
ROWS_OF_A_CAUSE = 10


@dataclass(frozen=True, slots=True)
class Section:
    """Rows under one heading; without a ``key`` the plain list. ``count``: of all there are."""

    key: str
    heading: str
    count: int
    worst: str
    project: str
    rows: tuple[Json, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of the list."""

    sections: tuple[Section, ...]
    next_cursor: str | None
    counts: dict[Tab, int]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return not any(section.rows for section in self.sections)


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads for somebody who sees this project, or all of them, at this time."""

    connection: Connection
    project: str | None
    now: dt.datetime

    def listing(self, asked: AlertQuery) -> Listing:
        """The page that was asked for."""
        filters = asked.filters(self.project)
        sections, cursor = self._sections(asked, filters)
        return Listing(tuple(sections), cursor, self.counts(filters))

    def some(self, asked: RowsQuery) -> Listing:
        """These alerts as they are now, in the sections where the list has them."""
        filters = asked.filters(self.project)
        fitting = self._page(replace(filters, ids=asked.id), len(asked.id) or 1)
        fit = {row["id"] for row in fitting}
        known = self._page(AlertFilters(self.project, ids=asked.id), len(asked.id) or 1)
        rows = self.rows([row | {"fits": row["id"] in fit} for row in known])
        return Listing(tuple(_gathered(rows, asked.group)), None, self.counts(filters))

    def counts(self, filters: AlertFilters) -> dict[Tab, int]:
        """How many there would be under each tab."""
        found: dict[AlertState, int] = alert_groups.by_state(self.connection, filters)
        return {tab: sum(found.get(one, 0) for one in states) for tab, states in TABS.items()}

    def rows(self, found: Sequence[Json]) -> tuple[Json, ...]:
        """Alerts as rows: with the name of the run and of the cause, and who silences them."""
        names = run_names.of_runs(self.connection, list({run_of(one) for one in found}))
        return tuple(
            {
                "fits": True,
                **row,
                "run_name": names[run_of(row)].name if run_of(row) in names else "a deleted run",
                "cause_name": cause_in_words(str(row["cause"])),
            }
            for row in muted(self.connection, found, self.now, self.project)
        )

    def _page(self, filters: AlertFilters, limit: int) -> Sequence[Json]:
        return alerts.list_alerts(self.connection, filters, None, limit).items

    def _sections(
        self, asked: AlertQuery, filters: AlertFilters
    ) -> tuple[list[Section], str | None]:
        if asked.group == "run":
            groups, cursor = alert_groups.by_run(self.connection, filters, asked.cursor, GROUPS)
            return _filled(self._of_run(group, filters) for group in groups), cursor
        if asked.group == "cause":
            return _filled(self._of_causes(filters)), None
        page = alerts.list_alerts(self.connection, filters, asked.cursor, ROWS)
        return _gathered(self.rows(page.items), None), page.next_cursor

    def _of_run(self, group: Group, filters: AlertFilters) -> Section:
        rows = self.rows(self._page(replace(filters, run_id=uuid.UUID(group.key)), group.count))
        return _section(group, str(rows[0]["run_name"]) if rows else "", rows)

    def _of_causes(self, filters: AlertFilters) -> Iterator[Section]:
        ids = alert_groups.newest_of_causes(self.connection, filters, ROWS_OF_A_CAUSE)
        rows = self.rows(self._page(AlertFilters(self.project, ids=ids), len(ids) or 1))
        for group in alert_groups.by_cause(self.connection, filters):
            own = tuple(row for row in rows if row["cause"] == group.key)
            yield _section(group, cause_in_words(group.key), own)


def _section(group: Group, heading: str, rows: tuple[Json, ...]) -> Section:
    project = str(rows[0]["project"]) if rows else ""
    return Section(group.key, heading, group.count, group.worst.label, project, rows)


def _filled(sections: Iterable[Section]) -> list[Section]:
    """Without those whose alerts have left the list meanwhile."""
    return [one for one in sections if one.rows]


def _gathered(rows: Sequence[Json], group: str | None) -> list[Section]:
    """A few rows under the headings they would have."""
    if group is None:
        return [Section("", "", len(rows), "", "", tuple(rows))]
    key, heading = ("run_id", "run_name") if group == "run" else ("cause", "cause_name")
    found: dict[str, list[Json]] = {}
    for row in rows:
        found.setdefault(str(row[key]), []).append(row)
    return [
        Section(
            name, str(own[0][heading]), len(own), str(own[0]["severity"]),
            str(own[0]["project"]), tuple(own),
        )
        for name, own in found.items()
    ]  # fmt: skip
