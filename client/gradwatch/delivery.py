"""Brings a lane to the service exactly once and in order: one request a turn, no thread.

The same bytes are sent under the same number until they are acknowledged; only then comes the next
frame. A lane that was found, and whose launch the service has met, is not introduced as a launch
again: that would look like a new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gradwatch import clock, frames
from gradwatch.books import Books
from gradwatch.config import Config
from gradwatch.errors import Unreachable
from gradwatch.notices import Notices
from gradwatch.pause import AT_ONCE, Backoff, Pause
from gradwatch.spool import dead
from gradwatch.spool.entries import Frame
from gradwatch.spool.lane import Lane
from gradwatch.transport import API, Answer, Transport
from gradwatch.values import JsonValue
from gradwatch.verdict import Verdict, judge_frame, judge_introduction


class Link:
    """What all lanes of a process share: the way to the service, and how it is there."""

    def __init__(self, config: Config, transport: Transport, notices: Notices) -> None:
        self.config = config
        self.transport = transport
        self.notices = notices
        self.backoff = Backoff(config)


class Delivery:
    """The sending side of one lane; ``turn`` is called again and again by one thread."""

    def __init__(self, lane: Lane, link: Link, books: Books, *, met: bool = False) -> None:
        self.lane = lane
        self.ended = False
        self._link = link
        self.books = books
        self._is_late = met
        self._known: set[str] | None = None if met else set()  # None: everything, until refuted
        self._refusals = 0
        self._run = f"/runs/{lane.origin.run_id}"

    def turn(self) -> Pause | None:
        """Do the next thing there is to do, and say how long to wait after it; None: nothing."""
        farewell = self.lane.farewell  # before looking whether anything else is there
        front = self.lane.front()
        if front is not None:
            return self._introduce(front.table) or self._push(front)
        if farewell is None or self.ended:
            return None
        return self._introduce("") or self._finish(farewell)

    def abandon(self) -> Pause:
        """Give up the frame in front, after a defect of our own or of the disk."""
        front = self._readable_front()
        if front is None:
            self.books.settle(rejected=self.lane.give_up())
        else:
            self._next(front, stored=0, seq_used=False)
        return self._link.backoff.next()

    def _readable_front(self) -> Frame | None:
        try:
            return self.lane.front()
        except Exception:  # noqa: BLE001 - whatever has been wrong with it may be so still
            return None

    def _introduce(self, table: str) -> Pause | None:
        """Make the run and the table known to the service; None when they are."""
        if self._known is None or table in self._known:
            return None
        body = self.lane.introduction(table)
        if self._is_late:
            body = {key: value for key, value in body.items() if key not in _OF_A_LAUNCH}
        answer = self._ask("/runs", body)
        if isinstance(answer, Pause):
            return answer
        self._known |= {table, ""}
        self.lane.note_met()
        return None

    def _finish(self, farewell: Mapping[str, JsonValue]) -> Pause:
        answer = self._ask(f"{self._run}/finish", farewell)
        if isinstance(answer, Pause):
            return answer
        self.ended = True
        return AT_ONCE

    def _ask(self, path: str, body: Mapping[str, JsonValue]) -> Answer | Pause:
        """POST something that is not a frame; a pause means that it has not been accepted."""
        try:
            answer = self._link.transport.post(API + path, body)
        except Unreachable as error:
            return self._unreachable(error)
        verdict = judge_introduction(answer)
        if verdict is Verdict.STORED:
            self._link.backoff.reset()
            return answer
        if verdict is Verdict.REJECT:
            return self._refused(answer)
        return self._later(answer, verdict)

    def _refused(self, answer: Answer) -> Pause:
        """The run itself, or its end, will never be accepted: nothing of it can be delivered."""
        self._warn_refused("run", answer)
        self.ended = self.lane.farewell is not None and not self.lane.frames
        while (front := self.lane.front()) is not None:
            self._bury(front, answer)
            self._next(front, stored=0, seq_used=False)
        return self._link.backoff.next()

    def _push(self, front: Frame) -> Pause:
        path = f"{API}{self._run}/writers/{self.lane.origin.writer}/frames/{self.lane.position.seq}"
        try:
            answer = self._link.transport.put_frame(path, front.body)
        except Unreachable as error:
            return self._unreachable(error)
        return self._act(front, answer)

    def _act(self, front: Frame, answer: Answer) -> Pause:
        match judge_frame(answer, self._refusals):
            case Verdict.STORED:
                return self._stored(front, answer)
            case Verdict.REGISTER:
                return self._register(answer)
            case Verdict.SPLIT if len(parts := frames.split(front)) > 1:
                return self._split(parts)
            case Verdict.RENUMBER if self.lane.position.doubtful:
                self.lane.renumber(self.lane.position.seq + 1)
                return AT_ONCE
            case Verdict.RETRY | Verdict.HOLD as verdict:
                self._refusals += answer.status == 500
                return self._later(answer, verdict)
            case verdict:
                return self._rejected(front, answer, taken=verdict is Verdict.RENUMBER)

    def _stored(self, front: Frame, answer: Answer) -> Pause:
        refused = answer.body.get("rejected")
        rejected = min(refused, front.records) if isinstance(refused, int) else 0
        if rejected:
            self._link.notices.warn("partial", f"the service refused {rejected} records of a frame")
        self.books.hear(answer.body)
        self._link.backoff.reset()
        self._next(front, stored=front.records - rejected, seq_used=True)
        return AT_ONCE

    def _rejected(self, front: Frame, answer: Answer, *, taken: bool) -> Pause:
        """Count the frame as lost. Its number is used again, unless it is known to be taken.

        The service may have consumed the number all the same; then it answers 409 to the next
        frame, which is renumbered. So the sequence has no gap that the service would wait for.
        """
        self._warn_refused("frame", answer)
        self._bury(front, answer)
        self._next(front, stored=0, seq_used=taken)
        return AT_ONCE

    def _split(self, parts: list[Frame]) -> Pause:
        try:
            self.lane.split(parts)
        except OSError:  # not noted on disk: a crash would send the whole under a used number
            return self._link.backoff.next()
        return AT_ONCE

    def _next(self, front: Frame, *, stored: int, seq_used: bool) -> None:
        self._refusals = 0
        self.lane.settle(seq=self.lane.position.seq + seq_used, doubtful=not seq_used)
        self.books.settle(stored=stored, rejected=front.records - stored)

    def _register(self, answer: Answer) -> Pause:
        """The run is not there, or not the table: introduce what is missing, send again."""
        self._known = set()
        self._is_late = self._is_late and answer.status != 404
        self._refusals += 1
        return self._link.backoff.next() if self._refusals > 1 else AT_ONCE

    def _unreachable(self, error: Unreachable) -> Pause:
        self._link.notices.warn(
            "unreachable",
            f"no answer from {self._link.config.url} ({error}); training goes on, records wait",
        )
        return self._link.backoff.next(nobody_listens=error.nobody_listens)

    def _later(self, answer: Answer, verdict: Verdict) -> Pause:
        if verdict is Verdict.HOLD:
            self._warn_refused("access", answer)
            return self._link.backoff.hold()
        return self._link.backoff.told(answer.retry_after_seconds)

    def _bury(self, front: Frame, answer: Answer) -> None:
        origin = self.lane.origin
        why = {
            "run": origin.run_id,
            "project": origin.run.get("project"),
            "writer": origin.writer,
            "records": front.records,
            "service": self._link.config.url,
            "status": answer.status,
            "code": answer.code,
            "detail": answer.detail,
            "at": clock.now(),
        }
        dead.keep(self._spool, front.body, why)

    @property
    def _spool(self) -> Path:
        return self._link.config.spool

    def _warn_refused(self, what: str, answer: Answer) -> None:
        remedy = _REMEDIES.get(answer.status, "run `gradwatch doctor`")
        self._link.notices.warn(
            f"{what} {answer.status} {answer.code}",
            f"{self._link.config.url} refused the {what} with {answer.status} "
            f"{answer.code or 'and no code'}: {answer.detail or 'no detail'}; {remedy}",
        )


_OF_A_LAUNCH = ("launch_id", "resume_step")
_REMEDIES = {
    401: "set GRADWATCH_API_KEY; records are kept meanwhile",
    403: "use a key with the scope `ingest` for this project; records are kept meanwhile",
    404: "point GRADWATCH_URL at the service; records are kept meanwhile",
    405: "point GRADWATCH_URL at the service; records are kept meanwhile",
}
