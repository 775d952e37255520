"""The simple path: steps with named layers become a frame of the run's own layer table."""

from __future__ import annotations

import numpy as np

from gradwatch_service.domain import (
    MISSING32,
    BoolArray,
    Float32Array,
    Frame,
    IntArray,
    Layer,
    LayerTable,
)
from gradwatch_service.errors import TooLarge
from gradwatch_service.ingest.pushes import PointsPush, StepsPush
from gradwatch_service.store.packing import MAX_LAYERS


def extend(table: LayerTable, names: tuple[str, ...]) -> LayerTable:
    """The table with the unknown names appended; the same one if there are none.

    Raises:
        TooLarge: the table would have too many layers.
    """
    unknown = [name for name in dict.fromkeys(names) if name not in table.column]
    if not unknown:
        return table
    if len(table) + len(unknown) > MAX_LAYERS:
        raise TooLarge(f"a run has at most {MAX_LAYERS} layers")
    return LayerTable(table.layers + tuple(Layer(name) for name in unknown))


def first_mentions(steps: IntArray) -> BoolArray:
    """Which steps are mentioned for the first time within the push."""
    first = np.zeros(len(steps), dtype=np.bool_)
    first[np.unique(steps, return_index=True)[1]] = True
    return first


def arrange(push: StepsPush | PointsPush, table: LayerTable, keep: BoolArray) -> Frame:
    """The kept steps as a frame whose layer columns are those of the table."""
    frame = push.frame
    columns = [table.column[name] for name in push.layer_names]
    return Frame(
        steps=frame.steps[keep],
        time=frame.time[keep],
        scalars={name: row[keep] for name, row in frame.scalars.items()},
        layers_hash=table.hash if len(table) else "",
        layers={
            name: _spread(block[keep], columns, len(table)) for name, block in frame.layers.items()
        },
        events=frame.events,
    )


def _spread(block: Float32Array, columns: list[int], width: int) -> Float32Array:
    spread = np.full((len(block), width), MISSING32)
    spread[:, columns] = block
    return spread
