"""A tile gives back every bit, whole or by the column."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradwatch_service.store import tiles


@given(st.sampled_from(["<f4", "<f8", "<i8", "<u4"]), st.integers(1, 70), st.integers(1, 40))
def test_any_bits_survive(kind: str, rows: int, columns: int) -> None:
    dtype = np.dtype(kind)
    raw = np.random.default_rng(rows).integers(0, 256, rows * columns * dtype.itemsize, np.uint8)
    block = raw.view(dtype).reshape(rows, columns)
    body = tiles.encode(tiles.differences(block))
    assert tiles.decode(body, dtype, rows).tobytes() == np.ascontiguousarray(block.T).tobytes()
    last = tiles.decode_columns(body, dtype, rows, [columns - 1])
    assert last.tobytes() == np.ascontiguousarray(block[:, -1]).tobytes()


@pytest.mark.parametrize("rows", [0, 1, 513])
def test_a_single_column_needs_no_shape(rows: int) -> None:
    steps = np.arange(rows) ** 2
    assert np.array_equal(tiles.unpack(tiles.pack(steps), np.dtype("<i8")), steps)


def test_what_drifts_slowly_becomes_small() -> None:
    drift = np.cumsum(np.full((512, 32), 1e-4, np.float32), axis=0) + np.float32(1.0)
    assert len(tiles.encode(tiles.differences(drift))) < 0.5 * drift.nbytes
