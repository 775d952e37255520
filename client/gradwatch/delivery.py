"""Brings records to the service exactly once and in order: one request a turn, no thread.

A frame is encoded once and the same bytes are sent under the same number until they are
acknowledged; only then is the next frame formed.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace

from gradwatch import frames
from gradwatch.buffer import Buffer
from gradwatch.config import Config
from gradwatch.errors import Unreachable
from gradwatch.launch import Launch
from gradwatch.layers import LayerTable
from gradwatch.news import News
from gradwatch.notices import Notices
from gradwatch.pause import AT_ONCE, Patience, Pause
from gradwatch.records import Record
from gradwatch.transport import API, Answer, Transport
from gradwatch.values import JsonValue
from gradwatch.verdict import Verdict, backoff_limit, judge_frame, judge_introduction

_jitter = random.SystemRandom()  # also different in every fork


@dataclass(frozen=True, slots=True)
class Head:
    """The one frame under way."""

    records: tuple[Record, ...]
    table: LayerTable
    body: bytes
    refusals: int = 0


class Delivery:
    """The sending side of one writer; ``turn`` is called again and again by one thread."""

    def __init__(
        self, launch: Launch, writer: str, buffer: Buffer, transport: Transport, config: Config
    ) -> None:
        self.launch = launch
        self.writer = writer
        self.news = News()
        self.ended = False
        self.notices = Notices()
        self._buffer = buffer
        self._transport = transport
        self._config = config
        self._taken: list[Record] = []
        self._head: Head | None = None
        self._known: set[str] = set()
        self._seq = 0
        self._seq_doubtful = False
        self._frame_bytes = config.frame_bytes
        self._failures = 0
        self._closing = False
        self._farewell: Mapping[str, JsonValue] | None = None

    def close(self, farewell: Mapping[str, JsonValue] | None) -> None:
        """Let ``turn`` end once everything is delivered, with ``POST …/finish`` if given."""
        self._farewell = farewell
        self._closing = True

    def turn(self) -> Pause:
        """Do the next thing there is to do, and say how long to wait after it."""
        if self._head is None:
            self._load()
        if self._head is not None:
            return self._introduce(self._head.table) or self._push(self._head)
        if not self._closing:
            return Pause(self._config.linger_seconds)
        if self._farewell is None:
            self.ended = True
            return AT_ONCE
        return self._introduce(LayerTable()) or self._finish(self._farewell)

    def abandon(self) -> Pause:
        """Give up the frame under way, after a defect of our own."""
        self._buffer.settle(rejected=len(self._taken))
        self._taken, self._head = [], None
        return self._backoff()

    def _load(self) -> None:
        self._taken = self._buffer.take(self._config.frame_records, self._frame_bytes)
        if self._taken:
            table = frames.table_of(self._taken)
            self._head = Head(tuple(self._taken), table, frames.encode(self._taken))

    def _introduce(self, table: LayerTable) -> Pause | None:
        """Make the run and the table known to the service; None when they are."""
        if table.hash in self._known:
            return None
        answer = self._ask("/runs", self.launch.body(table))
        if isinstance(answer, Pause):
            return answer
        self._known |= {table.hash, ""}
        return None

    def _finish(self, farewell: Mapping[str, JsonValue]) -> Pause:
        answer = self._ask(f"/runs/{self.launch.run_id}/finish", farewell)
        if isinstance(answer, Pause):
            return answer
        self.ended = True
        return AT_ONCE

    def _ask(self, path: str, body: Mapping[str, JsonValue]) -> Answer | Pause:
        """POST something that is not a frame; a pause means that it has not been accepted."""
        try:
            answer = self._transport.post(API + path, body)
        except Unreachable as error:
            return self._unreachable(error)
        verdict = judge_introduction(answer)
        if verdict is Verdict.STORED:
            self._failures = 0
            return answer
        if verdict is Verdict.REJECT:
            return self._refused(answer)
        return self._later(answer, verdict)

    def _refused(self, answer: Answer) -> Pause:
        """The run itself, or its end, will never be accepted: nothing of it can be delivered."""
        self._warn_refused("run", answer)
        if self._head is None:
            self.ended = self._closing
        return self.abandon()

    def _push(self, head: Head) -> Pause:
        path = f"{API}/runs/{self.launch.run_id}/writers/{self.writer}/frames/{self._seq}"
        try:
            answer = self._transport.put_frame(path, head.body)
        except Unreachable as error:
            return self._unreachable(error)
        return self._act(head, answer)

    def _act(self, head: Head, answer: Answer) -> Pause:
        match judge_frame(answer, head.refusals):
            case Verdict.STORED:
                return self._stored(head, answer)
            case Verdict.REGISTER:
                self._known.clear()
                return self._again(head)
            case Verdict.SPLIT if len(head.records) > 1:
                return self._split(head)
            case Verdict.RENUMBER if self._seq_doubtful:
                self._seq += 1
                return AT_ONCE
            case Verdict.RETRY | Verdict.HOLD as verdict:
                self._head = replace(head, refusals=head.refusals + (answer.status == 500))
                return self._later(answer, verdict)
            case verdict:
                return self._rejected(head, answer, taken=verdict is Verdict.RENUMBER)

    def _stored(self, head: Head, answer: Answer) -> Pause:
        refused = answer.body.get("rejected")
        rejected = min(refused, len(head.records)) if isinstance(refused, int) else 0
        if rejected:
            self.notices.warn("partial", f"the service refused {rejected} records of a frame")
        self.news = self.news.after(answer.body)
        self._failures = 0
        self._next(seq_used=True)
        self._buffer.settle(stored=len(head.records) - rejected, rejected=rejected)
        more = len(self._buffer) >= self._config.eager_records
        return AT_ONCE if more or self._closing else Pause(self._config.linger_seconds)

    def _rejected(self, head: Head, answer: Answer, *, taken: bool) -> Pause:
        """Count the frame as lost. Its number is used again, unless it is known to be taken.

        The service may have consumed the number all the same; then it answers 409 to the next
        frame, which is renumbered. So the sequence has no gap that the service would wait for.
        """
        self._warn_refused("frame", answer)
        self._next(seq_used=taken)
        self._buffer.settle(rejected=len(head.records))
        return AT_ONCE

    def _split(self, head: Head) -> Pause:
        """Form smaller frames of the same records; none of them has a number yet but this one."""
        self._frame_bytes = sum(record.size for record in head.records) // 2
        self._taken, self._head = [], None
        self._buffer.put_back(head.records)
        return AT_ONCE

    def _next(self, *, seq_used: bool) -> None:
        self._seq += seq_used
        self._seq_doubtful = not seq_used
        self._taken, self._head = [], None

    def _again(self, head: Head) -> Pause:
        self._head = replace(head, refusals=head.refusals + 1)
        return self._backoff() if head.refusals else AT_ONCE

    def _unreachable(self, error: Unreachable) -> Pause:
        self.notices.warn(
            "unreachable",
            f"no answer from {self._config.url} ({error}); training goes on, records wait",
        )
        return self._backoff()

    def _later(self, answer: Answer, verdict: Verdict) -> Pause:
        if verdict is Verdict.HOLD:
            self._warn_refused("access", answer)
            return Pause(self._config.auth_pause_seconds, Patience.ORDERED)
        pause = self._backoff()
        if answer.retry_after_seconds is None:
            return pause
        told = answer.retry_after_seconds * _jitter.uniform(1.0, 1.1)
        return Pause(max(told, pause.seconds), Patience.ORDERED)

    def _backoff(self) -> Pause:
        limit = backoff_limit(self._config, self._failures)
        self._failures += 1
        return Pause(_jitter.uniform(0.0, limit), Patience.BACKOFF)

    def _warn_refused(self, what: str, answer: Answer) -> None:
        remedy = _REMEDIES.get(answer.status, "run `gradwatch doctor`")
        self.notices.warn(
            f"{what} {answer.status} {answer.code}",
            f"{self._config.url} refused the {what} with {answer.status} "
            f"{answer.code or 'and no code'}: {answer.detail or 'no detail'}; {remedy}",
        )


_REMEDIES = {
    401: "set GRADWATCH_API_KEY; records are kept meanwhile",
    403: "use a key with the scope `ingest` for this project; records are kept meanwhile",
    404: "point GRADWATCH_URL at the service; records are kept meanwhile",
    405: "point GRADWATCH_URL at the service; records are kept meanwhile",
}
