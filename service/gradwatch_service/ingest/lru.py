"""A bounded mapping that forgets what was used least recently."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Lru(Generic[K, V]):
    """Not thread-safe: it belongs to the writer's thread.

    ``capacity``: the most that its values may weigh together; the newest stays in any case.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._weight = 0

    @property
    def weight(self) -> int:
        """Of all values together."""
        return self._weight

    def __contains__(self, key: K) -> bool:
        return key in self._entries

    def get(self, key: K) -> V | None:
        """The value, which counts as a use; None if it is not here."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def pop(self, key: K) -> V | None:
        """Forget a value; None if it is not here."""
        value, weight = self._entries.pop(key, (None, 0))
        self._weight -= weight
        return value

    def put(self, key: K, value: V, weight: int = 1) -> list[tuple[K, V]]:
        """Keep a value; returns those that make room for it."""
        self._weight += weight - self._entries.pop(key, (None, 0))[1]
        self._entries[key] = (value, weight)
        left: list[tuple[K, V]] = []
        while self._weight > self._capacity and len(self._entries) > 1:
            other, (old, freed) = self._entries.popitem(last=False)
            self._weight -= freed
            left.append((other, old))
        return left

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._weight = 0
