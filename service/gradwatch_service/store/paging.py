"""How a list is read page by page, the newest first."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import TypeVar

from sqlalchemy import ColumnElement, Select, and_, or_

from gradwatch_service.store.codec import Mark

S = TypeVar("S", bound=Select[tuple[object, ...]])


def paged(
    query: S,
    moment: ColumnElement[dt.datetime],
    identity: ColumnElement[uuid.UUID],
    cursor: str | None,
    limit: int,
) -> S:
    """The rows after a cursor, and one more than the limit, to learn whether there are more.

    Raises:
        Invalid: no list gave out this cursor.
    """
    if cursor is not None:
        mark = Mark.parse(cursor)
        same_time = and_(moment == mark.moment, identity < mark.id)
        query = query.where(or_(moment < mark.moment, same_time))
    return query.order_by(moment.desc(), identity.desc()).limit(limit + 1)
