"""What the autopilot wants done at one step: plain data, so that all ranks can be told the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

import msgpack

from gradwatch.autopilot.advice import Advice
from gradwatch.guard import Guard

Verb: TypeAlias = Literal[
    "apply",  # use the lever for ``action`` with ``params``
    "undo",  # take back what was applied under ``id``
    "release",  # let the learning rate return to its schedule, slowly
    "reclaim",  # hold it down again
    "forget",  # it has returned to its schedule: take the changes out
    "save",  # call the user's save callback
    "stop",  # the run cannot go on
    "report",  # nothing to do, only to say
]
Status: TypeAlias = Literal["", "applied", "verified", "failed", "undone", "declined"]


@dataclass(frozen=True, slots=True)
class Order:
    """One thing to do; ``status`` is what is reported once it is done ("": nothing)."""

    verb: Verb
    step: int
    action: str = ""
    id: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    status: Status = ""
    text: str = ""


def about(advice: Advice, verb: Verb, step: int, status: Status, text: str) -> Order:
    """An order that carries out advice, or says something about it."""
    return Order(verb, step, advice.action, advice.id, advice.params, status, text)


@dataclass(frozen=True, slots=True)
class Word:
    """What rank 0 says at one step: the limits in force, and what to do."""

    guard: Guard = field(default_factory=Guard)
    orders: tuple[Order, ...] = ()

    def pack(self) -> bytes:
        """The word as bytes."""
        orders = [asdict(order) for order in self.orders]
        packed: bytes = msgpack.packb({"guard": asdict(self.guard), "orders": orders})
        return packed

    @staticmethod
    def unpack(packed: bytes) -> Word:
        """The word from its bytes."""
        body = msgpack.unpackb(packed)
        return Word(Guard(**body["guard"]), tuple(Order(**order) for order in body["orders"]))
