"""What the service says back: guard, advice and alerts of the newest receipts; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gradwatch.guard import Guard

Items = tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class News:
    """One consistent state of the service's answers; a new receipt makes a new one.

    ``advice`` is the newest list; ``alerts`` the newest version of every alert heard of so far,
    because a receipt carries only those that changed; ``health`` is that of the whole run.
    """

    guard: Guard = field(default_factory=Guard)
    advice: Items = ()
    alerts: Items = ()
    health: str = "ok"

    def after(self, receipt: Mapping[str, object]) -> News:
        """The state after one more receipt."""
        guard = receipt.get("guard")
        known = {alert.get("id"): alert for alert in self.alerts}
        changed = {alert.get("id"): alert for alert in _items(receipt.get("alerts"))}
        return News(
            guard=Guard.from_json(guard) if isinstance(guard, Mapping) else self.guard,
            advice=_items(receipt.get("advice")),
            alerts=tuple((known | changed).values()),
            health=str(receipt.get("health") or self.health),
        )


def _items(value: object) -> Items:
    return (
        tuple(item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()
    )
