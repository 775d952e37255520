"""Repeats a request of the command line until it is answered for good."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping

from gradwatch.config import Config
from gradwatch.errors import Unreachable
from gradwatch.transport import Answer, Transport
from gradwatch.verdict import Verdict, backoff_limit, judge_introduction

TRIES = 10  # about two minutes


def post(
    transport: Transport, config: Config, path: str, body: Mapping[str, object]
) -> Mapping[str, object]:
    """POST, with backoff while the service is away or busy, and return the answer's body.

    Raises:
        Unreachable: the last try had no answer.
        Refused: the last answer was no success.
    """
    for failures in range(TRIES - 1):
        answer = _try(transport, path, body)
        if answer is not None and judge_introduction(answer) is not Verdict.RETRY:
            return answer.expect_success()
        told = answer.retry_after_seconds if answer is not None else None
        jitter = random.SystemRandom().uniform(0.0, backoff_limit(config, failures))
        threading.Event().wait(max(told or 0.0, jitter))
    return transport.post(path, body).expect_success()


def _try(transport: Transport, path: str, body: Mapping[str, object]) -> Answer | None:
    try:
        return transport.post(path, body)
    except Unreachable:
        return None
