"""Statements that every group of pushes runs, compiled once: rows go to the driver as they are.

Building a statement's context anew costs more than SQLite takes to run it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from sqlalchemy import Connection, CursorResult, Dialect, Executable, Insert, Update, Uuid

from gradwatch_service.store.types import UtcDateTime

Convert: TypeAlias = Callable[[Any], Any]
REMEMBERED = (Uuid, UtcDateTime)


class Prepared:
    """An ``insert`` of the columns named, or an ``update`` whose values are all bound by name."""

    def __init__(self, statement: Insert | Update, columns: Sequence[str] | None = None) -> None:
        self._statement = statement
        self._columns = columns
        self._forms: dict[str, _Form] = {}

    def execute(
        self, connection: Connection, rows: Sequence[Mapping[str, Any]]
    ) -> CursorResult[Any]:
        """Run it for each row; ``rowcount`` is how many were touched in all."""
        dialect = connection.dialect
        form = self._forms.get(dialect.name)
        if form is None:
            form = self._forms[dialect.name] = _Form(self._statement, self._columns, dialect)
        return connection.exec_driver_sql(form.text, form.parameters(rows))


class _Form:
    """The statement as one dialect runs it."""

    def __init__(
        self, statement: Executable, columns: Sequence[str] | None, dialect: Dialect
    ) -> None:
        keys = None if columns is None else list(columns)
        compiled = statement.compile(dialect=dialect, column_keys=keys)  # type: ignore[attr-defined]
        self.text: str = compiled.string
        order = compiled.positiontup
        self._named = order is None
        names = self._names = list(order or compiled.binds)
        binds = [compiled.binds[name] for name in names]
        self._constants = {
            name: bind.value for name, bind in zip(names, binds, strict=True) if not bind.required
        }
        converts = [_convert(bind.type, dialect) for bind in binds]
        self._converts = list(zip(names, converts, strict=True))

    def parameters(self, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        """The rows as the driver takes them."""
        whole = [{**self._constants, **row} for row in rows] if self._constants else rows
        if self._named:
            return [dict(zip(self._names, self._values(row), strict=True)) for row in whole]
        return [tuple(self._values(row)) for row in whole]

    def _values(self, row: Mapping[str, Any]) -> list[Any]:
        return [convert(row[name]) if convert else row[name] for name, convert in self._converts]


def _convert(kind: Any, dialect: Dialect) -> Convert | None:
    """What turns a value into the driver's; ids and times, which come again, are turned but once.

    Others are not remembered: bodies are large, and equal values need not mean the same.
    """
    convert: Convert | None = kind.dialect_impl(dialect).bind_processor(dialect)
    if convert is None or not isinstance(kind, REMEMBERED):
        return convert
    return lru_cache(maxsize=1_024)(convert)
