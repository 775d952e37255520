"""The joint stream of a job's ranks as the rank rules read it: names, and who a column is."""

from __future__ import annotations

import re
from typing import Final

from gradwatch_service.detect.view import View
from gradwatch_service.domain import Evidence

# Per rank, float32[n, R]: the gradient norm as reported, and from before the reduction; the sum of
# the weight norms of all layers.
REPORTED: Final = "rank_grad_norm"
LOCAL: Final = "rank_local_grad_norm"
WEIGHTS: Final = "rank_weight_norm"
# Scalar: 1 where all ranks have the same layers.
ALIKE: Final = "rank_alike"

_NUMBERED = re.compile(r"r(?:ank)?[-_]?(\d+)(?!\d)", re.IGNORECASE)


def number(writer: str) -> int | None:
    """The number of a rank if its writer's name has one.

    So have r3, rank3, rank-3, and r3-9f12ab, as the client makes them.
    """
    found = _NUMBERED.match(writer)
    return int(found[1]) if found else None


def odd_rank(view: View, row: int, column: int) -> Evidence:
    """The fact ``rank``: ``layer`` is the writer's name, ``value`` its number if it has one."""
    name = view.layers.names[column]
    known = number(name)
    value = None if known is None else float(known)
    return Evidence("rank", f"the odd one out is {name}", int(view.step[row]), value, layer=name)
