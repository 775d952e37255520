"""Advice that people hand to the job: carried by its receipts until the job has answered."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from sqlalchemy import Connection, RowMapping, and_, func, select, update

from gradwatch_service.domain import JsonValue
from gradwatch_service.errors import Conflict, NotFound
from gradwatch_service.store import alerts, audit, runs, tables
from gradwatch_service.store.advice import ranked_advice
from gradwatch_service.store.codec import Json
from gradwatch_service.store.notice_tables import handed_advice
from gradwatch_service.store.upsert import upsert

ANSWERS = frozenset({"applied", "declined"})


@dataclass(frozen=True, slots=True)
class Wish:
    """Who handed it over, when, at which step of the run; ``is_open``: the job owes an answer."""

    by: str
    at: dt.datetime
    step: int
    is_open: bool = True

    def is_answered_by(self, event: Mapping[str, JsonValue]) -> bool:
        """Whether an ``advice`` event is the job's answer, and not about an earlier time."""
        step = event.get("step")
        return event.get("status") in ANSWERS and isinstance(step, int) and step >= self.step


Wishes = Mapping[str, Wish]  # by the id of the advice


def hand(
    connection: Connection, run_id: uuid.UUID, advice_id: uuid.UUID, by: str, now: dt.datetime
) -> Json:
    """Hand advice to the job; returns it. Twice is once, until the job has answered.

    Raises:
        NotFound: there is no such run, or it is not advised, or no longer.
        Conflict: the run has ended.
    """
    run = runs.find_row(connection, run_id)
    if run is None:
        raise NotFound(f"no run {run_id}")
    last = newest_step(connection, run_id)
    item = _advised(connection, run, advice_id, last)
    if run["state"] in {"finished", "failed"}:
        raise Conflict("the run has ended: there is no job to hand it to")
    wish = open_wishes(connection, [run_id]).get(run_id, {}).get(str(advice_id))
    if wish is None:
        wish = Wish(by, now, last)
        _add(connection, run, advice_id, wish)
        detail: Json = {"run": str(run_id), "action": item["action"], "params": item["params"]}
        audit.note(connection, run["project"], by, "advice-handed", str(advice_id), detail, now=now)
    return item | {"handed_by": wish.by}


def open_wishes(
    connection: Connection, run_ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, dict[str, Wish]]:
    """Run -> advice -> what the newest launch has not answered yet."""
    is_of_newest = and_(
        tables.runs.c.run_id == handed_advice.c.run_id,
        tables.runs.c.attempt == handed_advice.c.attempt,
    )
    query = (
        select(handed_advice)
        .join(tables.runs, is_of_newest)
        .where(handed_advice.c.run_id.in_(run_ids), handed_advice.c.answered_at.is_(None))
    )
    found: dict[uuid.UUID, dict[str, Wish]] = {}
    for row in connection.execute(query).mappings():
        found.setdefault(row["run_id"], {})[str(row["advice_id"])] = _wish(row)
    return found


def of_run(connection: Connection, run_id: uuid.UUID) -> dict[str, Wish]:
    """All that was handed to the job, answered or not, each the last time."""
    query = select(handed_advice).where(handed_advice.c.run_id == run_id)
    rows = connection.execute(query).mappings()
    return {str(row["advice_id"]): _wish(row) for row in rows}


def answer(
    connection: Connection, answered: Iterable[tuple[uuid.UUID, str]], now: dt.datetime
) -> None:
    """Note that the job has answered: run and advice."""
    for run_id, advice_id in answered:
        connection.execute(
            update(handed_advice)
            .where(
                handed_advice.c.run_id == run_id,
                handed_advice.c.advice_id == uuid.UUID(advice_id),
            )
            .values(answered_at=now)
        )


def newest_step(connection: Connection, run_id: uuid.UUID) -> int:
    """How far the newest attempt has come; that of the run stays where an earlier one was."""
    of_newest = and_(
        tables.runs.c.run_id == tables.writers.c.run_id,
        tables.runs.c.attempt == tables.writers.c.attempt,
    )
    query = (
        select(func.coalesce(func.max(tables.writers.c.last_step), 0))
        .join(tables.runs, of_newest)
        .where(tables.writers.c.run_id == run_id)
    )
    return int(connection.execute(query).scalar_one())


def _advised(connection: Connection, run: RowMapping, advice_id: uuid.UUID, last: int) -> Json:
    known = alerts.of_runs(connection, [run["run_id"]]).get(run["run_id"], {})
    ranked = ranked_advice(alert.body for alert in known.values())
    item = next((one for one in ranked if one["id"] == str(advice_id)), None)
    if item is None:
        raise NotFound(f"no advice {advice_id}: the run's alerts do not give it, or no longer")
    expires = cast(int, item["expires_step"])
    if expires < last:
        raise NotFound(f"this advice was good until step {expires}")
    return item


def _add(connection: Connection, run: RowMapping, advice_id: uuid.UUID, wish: Wish) -> None:
    row = {
        "run_id": run["run_id"],
        "advice_id": advice_id,
        "by": wish.by,
        "attempt": run["attempt"],
        "step": wish.step,
        "at": wish.at,
        "answered_at": None,
    }
    newer = update(tables.runs).where(tables.runs.c.run_id == run["run_id"])
    found = connection.execute(newer.values(version=tables.runs.c.version + 1))
    if not found.rowcount:
        raise NotFound(f"no run {run['run_id']}")
    upsert(connection, handed_advice, [row])


def _wish(row: RowMapping) -> Wish:
    return Wish(row["by"], row["at"], row["step"], is_open=row["answered_at"] is None)
