"""Column types that mean the same on SQLite and on PostgreSQL."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, DateTime, Dialect, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator
from typing_extensions import override

from gradwatch_service.domain import JsonValue
from gradwatch_service.store import codec


class UtcDateTime(TypeDecorator[dt.datetime]):
    """An aware time, kept in UTC; a naive one is a mistake and is refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    @override
    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        """Convert to UTC; SQLite keeps no offset."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without an offset cannot be stored")
        utc = value.astimezone(dt.UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    @override
    def process_result_value(
        self, value: dt.datetime | None, dialect: Dialect
    ) -> dt.datetime | None:
        """Back to an aware time in UTC."""
        if value is None:
            return None
        aware = value.replace(tzinfo=dt.UTC) if dialect.name == "sqlite" else value
        return aware.astimezone(dt.UTC)


class JsonText(TypeDecorator[JsonValue]):
    """A JSON value as text, through the one codec; NULL is None."""

    impl = Text
    cache_ok = True

    @override
    def process_bind_param(self, value: JsonValue, dialect: Dialect) -> str | None:
        """Encode."""
        return None if value is None else codec.encode(value)

    @override
    def process_result_value(self, value: str | None, dialect: Dialect) -> JsonValue:
        """Decode."""
        return None if value is None else codec.decode(value)


class milliseconds(FunctionElement[int]):  # noqa: N801 - reads like the functions of a database
    """How many milliseconds lie between two times, each rounded to one, as SQLite does."""

    type = BigInteger()
    inherit_cache = True

    def __init__(self, earlier: ColumnElement[Any], later: ColumnElement[Any]) -> None:
        super().__init__(earlier, later)


@compiles(milliseconds, "sqlite")
def _in_sqlite(element: milliseconds, compiler: SQLCompiler, **options: Any) -> str:
    earlier, later = (compiler.process(one, **options) for one in element.clauses)
    return f"CAST(round((julianday({later}) - julianday({earlier})) * 86400000) AS INTEGER)"


@compiles(milliseconds, "postgresql")
def _in_postgresql(element: milliseconds, compiler: SQLCompiler, **options: Any) -> str:
    earlier, later = (compiler.process(one, **options) for one in element.clauses)
    first, last = (f"round(EXTRACT(EPOCH FROM {one}) * 1000)" for one in (earlier, later))
    return f"CAST({last} - {first} AS BIGINT)"
