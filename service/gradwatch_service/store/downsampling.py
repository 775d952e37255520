"""Fewer points of a series that still show what matters: extremes and everything non-finite."""

from __future__ import annotations

import numpy as np

from gradwatch_service.domain import BoolArray, FloatArray, IntArray


def downsample(steps: IntArray, values: FloatArray, points: int) -> tuple[IntArray, FloatArray]:
    """At most about ``points`` points: per bucket minimum and maximum, and each kind non-finite.

    A series that is short enough is returned as it is. Buckets hold equally many points; of NaN,
    +Infinity and -Infinity a bucket keeps the first of each.
    """
    if len(steps) <= points:
        return steps, values
    kept = np.flatnonzero(_keep(values, max(points // 2, 1)))
    return steps[kept], values[kept]


def _keep(values: FloatArray, buckets: int) -> BoolArray:
    bucket = np.arange(len(values)) * buckets // len(values)
    finite = np.isfinite(values)
    keep = np.zeros(len(values), dtype=np.bool_)
    places = np.flatnonzero(finite)
    # Sorted by bucket, then value, then place: the ends of each bucket are its extremes.
    order = places[np.lexsort((places, values[places], bucket[places]))]
    ordered = bucket[order]
    keep[order[_first_of_each(ordered)]] = True
    keep[order[::-1][_first_of_each(ordered[::-1])]] = True
    for kind in (np.isnan(values), np.isposinf(values), np.isneginf(values)):
        found = np.flatnonzero(kind)
        keep[found[_first_of_each(bucket[found])]] = True
    return keep


def _first_of_each(groups: IntArray) -> BoolArray:
    first = np.ones(len(groups), dtype=np.bool_)
    first[1:] = groups[1:] != groups[:-1]
    return first
