"""Which of the messages due on a channel go out next: one, or when it storms many as a digest."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gradwatch_service.store.deliveries import Delivery

DIGESTS: Final = uuid.UUID("0c7de1d8-6c5c-5d0e-8b0f-7f0d0c9b7a55")


@dataclass(frozen=True, slots=True)
class Batch:
    """What goes out as one message; ``digest_id``: its id, where it speaks of several runs."""

    deliveries: tuple[Delivery, ...]
    digest_id: uuid.UUID | None = None


def choose(due: Sequence[Delivery], sent_lately: int, per_minute: int) -> Batch | None:
    """The next message of a channel; None if it has had enough for now.

    ``due``: oldest first; ``sent_lately``: messages in the last minute. The last message of a
    minute speaks of all that waits. A digest that was tried goes out again as it was.
    """
    if not due or sent_lately >= per_minute:
        return None
    first = due[0]
    if first.digest_id is not None:
        same = tuple(one for one in due if one.digest_id == first.digest_id)
        return Batch(same, first.digest_id)
    waiting = tuple(one for one in due if one.digest_id is None)
    if sent_lately < per_minute - 1 or len(waiting) == 1:
        return Batch((first,))
    return Batch(waiting, _digest_id(waiting))


def _digest_id(deliveries: Sequence[Delivery]) -> uuid.UUID:
    ids = sorted(str(one.delivery_id) for one in deliveries)
    return uuid.uuid5(DIGESTS, " ".join(ids))
