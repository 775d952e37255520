"""The contract of a cause: a declarative object that says when it is likely and what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gradwatch_service.diagnose.proposal import Proposal
from gradwatch_service.diagnose.situation import Situation

# Rules by which any explosion shows, whatever is behind it.
EXPLOSION = frozenset(
    {
        "clip-ineffective",
        "early-explosion",
        "gradient-creep",
        "gradient-growth",
        "gradient-spike",
        "instability-onset",
        "layer-spike",
        "loss-above-initial",
        "loss-divergence",
        "loss-oscillation",
        "loss-spike",
        "non-finite",
        "overflow-headroom",
        "update-ratio-high",
        "update-step-huge",
    }
)


@dataclass(frozen=True, slots=True)
class Sign:
    """A weighted piece of evidence; a negative weight speaks against the cause.

    ``seen`` says in words what speaks for the sign, or None where it is absent.
    """

    name: str
    weight: int
    seen: Callable[[Situation], str | None]


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that can go wrong; each module of ``diagnose/causes`` holds one, as ``CAUSE``.

    ``title`` names it in a list, ``headline`` begins the title of an alert; ``explains``: ids of
    the rules it can be behind; ``order`` decides between equal scores, smaller first;
    ``names_layer``: whether the first mover belongs into the title; ``calls``: whether its alert
    may call a person.
    """

    id: str
    title: str
    headline: str
    order: int
    explains: frozenset[str]
    signs: tuple[Sign, ...]
    explain: Callable[[Situation], str]
    advise: Callable[[Situation], tuple[Proposal, ...]]
    names_layer: bool = True
    calls: bool = True
