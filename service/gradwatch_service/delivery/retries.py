"""When to try again what did not arrive, and when to give it up."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Final

from gradwatch_service.notify.channel import UndeliveredError

# Pauses after the first, second, … attempt; after one more attempt it is a dead letter.
PAUSES_SECONDS: Final = (5, 30, 120, 600, 1_800, 3_600, 10_800, 21_600, 43_200)
ATTEMPTS: Final = len(PAUSES_SECONDS) + 1
JITTER: Final = 0.2


def pause(error: UndeliveredError, attempts: int, message_id: uuid.UUID) -> dt.timedelta | None:
    """How long to wait after so many attempts; None: give it up.

    The other side's Retry-After is obeyed, up to the longest pause. ± 20 % by the message's id, so
    that what failed together does not come back together.
    """
    if error.permanent or attempts >= ATTEMPTS:
        return None
    if error.retry_after_seconds is not None:
        return dt.timedelta(seconds=min(error.retry_after_seconds, PAUSES_SECONDS[-1]))
    chance = uuid.uuid5(message_id, str(attempts)).int / 2**128
    factor = 1 + JITTER * (2 * chance - 1)
    return dt.timedelta(seconds=PAUSES_SECONDS[attempts - 1] * factor)
