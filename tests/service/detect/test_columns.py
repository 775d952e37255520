"""Layer tables as they grow, and what is remembered of them."""

import numpy as np

from gradwatch_service.detect.columns import grown, per_table
from gradwatch_service.domain import Layer, LayerTable


def test_values_of_a_table_that_has_grown_get_a_place_for_each_new_layer() -> None:
    values = np.array([[1, 2], [3, 4]], np.int32)
    wider = grown(values, 3, -1)
    assert (wider.dtype, wider.tolist()) == (np.int32, [[1, 2, -1], [3, 4, -1]])
    assert grown(values, 2, -1) is values
    assert grown(np.empty(0, np.float32), 1, np.nan).tolist() != []


def test_what_is_worked_out_from_a_table_is_worked_out_once() -> None:
    asked = []

    def count(layers: LayerTable) -> int:
        asked.append(layers)
        return len(layers)

    once, table = per_table(count), LayerTable((Layer("a"), Layer("b")))
    assert [once(table), once(table), once(LayerTable())] == [2, 2, 0]
    assert len(asked) == 2
