"""A frame that is new to its stream, and the row in which it will be stored."""

from __future__ import annotations

from dataclasses import dataclass, field

from gradwatch_service.domain import Frame, LayerTable


@dataclass(slots=True)
class Arrival:
    """A frame that is new to its stream; ``layers`` is the table its hash names.

    ``row``: what will be stored, as far as it is known.
    """

    seq: int
    digest: bytes
    frame: Frame
    body: bytes
    layers: LayerTable
    row: dict[str, object] = field(init=False)

    def __post_init__(self) -> None:
        steps = self.frame.steps
        count = len(steps)
        self.row = {
            "seq": self.seq,
            "digest": self.digest,
            "layers_hash": self.frame.layers_hash,
            "step_min": int(steps.min()) if count else None,
            "step_max": int(steps.max()) if count else None,
            "reports": count,
            "ordinal": None,
            "body": self.body,
        }
