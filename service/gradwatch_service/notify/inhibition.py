"""Which alerts say nothing new while a graver one of the same run speaks: one declared table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# While an alert of the first rule is open, those of the others page nobody.
INHIBITS: Final[Mapping[str, frozenset[str]]] = {
    "non-finite": frozenset({"gradient-spike", "layer-spike", "loss-spike", "loss-oscillation"}),
    "stale-run": frozenset({"slow-run"}),
}


def inhibited(open_rules: frozenset[str]) -> frozenset[str]:
    """The rules that keep quiet while alerts of these rules are open."""
    return frozenset().union(*(INHIBITS.get(rule, frozenset()) for rule in open_rules))
