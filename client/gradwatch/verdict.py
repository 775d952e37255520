"""Decides what an answer means for the thing that was sent, and how long to wait; pure."""

from __future__ import annotations

from enum import Enum, auto

from gradwatch.config import Config
from gradwatch.transport import Answer

RETRIES_OF_A_DEFECT = 5


class Verdict(Enum):
    """What to do with a request that was answered."""

    STORED = auto()  # acknowledged: forget it
    REGISTER = auto()  # the run or its layer table is unknown: introduce it, send again
    SPLIT = auto()  # too large: send in smaller parts
    RENUMBER = auto()  # the sequence number is taken by another body
    RETRY = auto()  # send the same bytes again later
    HOLD = auto()  # a person has to correct something: keep everything, ask again much later
    REJECT = auto()  # will never be accepted: count it and go on


def judge_frame(answer: Answer, refusals: int) -> Verdict:
    """The meaning of an answer to a frame that was refused ``refusals`` times before.

    A success without a JSON body does not come from the service (a login page of some proxy, say)
    and acknowledges nothing.
    """
    exhausted = refusals >= RETRIES_OF_A_DEFECT
    if answer.status == 404 or (answer.status == 409 and answer.code == "unknown-layers"):
        return Verdict.REJECT if exhausted else Verdict.REGISTER
    if answer.status == 500 and exhausted:
        return Verdict.REJECT
    special = {409: Verdict.RENUMBER, 413: Verdict.SPLIT}
    return special.get(answer.status) or _judge(answer)


def judge_introduction(answer: Answer) -> Verdict:
    """The meaning of an answer to ``POST /runs`` or ``POST …/finish``."""
    verdict = _judge(answer)
    if answer.status in (404, 405) or (verdict is Verdict.REJECT and not answer.body):
        return Verdict.HOLD  # whatever answers there, it is not the service
    return verdict


def _judge(answer: Answer) -> Verdict:
    status = answer.status
    if status in (200, 201) and answer.body:
        return Verdict.STORED
    if status in (401, 403) or 300 <= status < 400:
        return Verdict.HOLD
    if status < 300 or status >= 500 or status in (408, 425, 429):
        return Verdict.RETRY
    return Verdict.REJECT


def backoff_limit(config: Config, failures: int) -> float:
    """The longest wait in seconds after that many failures in a row; the wait is jittered."""
    doublings = min(failures, 32)
    return min(config.backoff_cap_seconds, config.backoff_base_seconds * 2.0**doublings)
