"""Layer tables: registered once per run, found by their hash, never changed."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import cast

from sqlalchemy import Connection, select, update

from gradwatch_service.domain import JsonValue, Layer, LayerTable
from gradwatch_service.store.tables import layer_tables, runs
from gradwatch_service.store.upsert import upsert

# Tables that were read lately, of whatever run: a hash names its content.
_recent: dict[str, LayerTable] = {}
_MOST_RECENT = 64


def register(connection: Connection, run_id: uuid.UUID, table: LayerTable) -> None:
    """Add a table to a run, if it is new, and make it the run's current one."""
    add(connection, run_id, table)
    connection.execute(
        update(runs)
        .where(runs.c.run_id == run_id, runs.c.layers_hash != table.hash)
        .values(layers_hash=table.hash, layers_count=len(table), version=runs.c.version + 1)
    )


def add(connection: Connection, run_id: uuid.UUID, table: LayerTable) -> None:
    """Make a table known to a run."""
    rows: list[JsonValue] = [layer.as_json() for layer in table.layers]
    upsert(connection, layer_tables, [{"run_id": run_id, "hash": table.hash, "layers": rows}])


def find(connection: Connection, run_id: uuid.UUID, table_hash: str) -> LayerTable | None:
    """The table of this hash, None if the run does not know it; the empty hash is no layers."""
    if not table_hash:
        return LayerTable()
    query = select(layer_tables.c.layers).where(
        layer_tables.c.run_id == run_id, layer_tables.c.hash == table_hash
    )
    found = connection.execute(query).scalar()
    return None if found is None else _table(found)


def all_tables(connection: Connection, run_id: uuid.UUID) -> dict[str, LayerTable]:
    """Hash -> table, all the run knows."""
    return {key: read(connection, run_id, key) for key in hashes(connection, run_id)}


def read(connection: Connection, run_id: uuid.UUID, table_hash: str) -> LayerTable:
    """The same as ``find``, of a table that the run is known to have, and without reading twice."""
    table = _recent.get(table_hash)
    if table is None:
        table = find(connection, run_id, table_hash) or LayerTable()
        if len(_recent) >= _MOST_RECENT:
            _recent.clear()
        _recent[table_hash] = table
    return table


def hashes(connection: Connection, run_id: uuid.UUID) -> tuple[str, ...]:
    """Of all tables the run knows."""
    query = select(layer_tables.c.hash).where(layer_tables.c.run_id == run_id)
    return tuple(connection.execute(query).scalars())


def current(connection: Connection, run_id: uuid.UUID) -> LayerTable:
    """The table the run registered or extended last; empty if there is none."""
    newest = connection.execute(select(runs.c.layers_hash).where(runs.c.run_id == run_id)).scalar()
    return read(connection, run_id, newest or "")


def _table(rows: JsonValue) -> LayerTable:
    return LayerTable(tuple(_layer(fields) for fields in cast(list[Mapping[str, JsonValue]], rows)))


def _layer(fields: Mapping[str, JsonValue]) -> Layer:
    return Layer(
        name=cast(str, fields["name"]),
        kind=cast(str, fields["kind"]),
        depth=cast(int, fields["depth"]),
        shape=tuple(cast(list[int], fields["shape"])),
        dtype=cast(str, fields["dtype"]),
        activation=cast(str, fields["activation"]),
        normalised=cast("bool | None", fields["normalised"]),
        residual=cast("bool | None", fields["residual"]),
    )
