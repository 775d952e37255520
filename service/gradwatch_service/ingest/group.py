"""One transaction's worth of pushes: each placed in its stream, then what is urgent is judged.

Nothing here outlives the transaction: what is to be remembered is installed after the commit.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Iterator
from itertools import chain

from gradwatch_service.domain import LayerTable
from gradwatch_service.errors import NotFound
from gradwatch_service.ingest import own
from gradwatch_service.ingest.arrival import Arrival
from gradwatch_service.ingest.comparison import Comparison
from gradwatch_service.ingest.conclusion import degrade
from gradwatch_service.ingest.judge import Judged
from gradwatch_service.ingest.ledger import Ledger
from gradwatch_service.ingest.placed import Placed
from gradwatch_service.ingest.pushes import FramePush, Push, Verdict
from gradwatch_service.ingest.run_view import RunDraft, RunView
from gradwatch_service.ingest.silence import NO_SILENCE, observation, stalled
from gradwatch_service.ingest.sources import Memory, Sources, StreamKey
from gradwatch_service.ingest.stream import Stream, Unjudged
from gradwatch_service.store import events, frames
from gradwatch_service.store.codec import uuid7
from gradwatch_service.store.frames import Identity
from gradwatch_service.store.parts import Contribution


class Group:
    """Drafts of the runs and streams that the pushes of one transaction touch."""

    def __init__(self, sources: Sources, pushes: Collection[Push], now: dt.datetime) -> None:
        self.sources = sources
        self.ledger = Ledger(now)
        self.views, self.trusted = _views(sources, pushes)
        self.drafts = {run_id: RunDraft(view) for run_id, view in self.views.items()}
        self.comparisons: dict[uuid.UUID, Comparison] = {}

    @property
    def streams(self) -> Iterator[tuple[StreamKey, Stream]]:
        """The drafts of all streams that were asked for."""
        for run_id, run in self.drafts.items():
            for writer, stream in run.streams.items():
                yield (run_id, writer), stream

    @property
    def touched(self) -> list[RunDraft]:
        """The runs of which something will be written, in order."""
        runs = [run for run in self.drafts.values() if run.touched or run.reviewed]
        return sorted(runs, key=lambda run: run.run_id) if len(runs) > 1 else runs

    def run(self, run_id: uuid.UUID, project: str | None = None) -> RunDraft:
        """The draft of a run; ``project``: the only one whose runs are there for the sender.

        Raises:
            NotFound: there is no such run.
        """
        draft = self.drafts.get(run_id)
        if draft is None or project not in (None, draft.view.head.project):
            raise NotFound(f"no run {run_id}: create it with POST /runs")
        return draft

    def view(self, run: RunDraft) -> RunView:
        """The run as this group leaves it."""
        return self.views[run.run_id]

    def stream(self, run: RunDraft, writer: str, table: LayerTable) -> Stream:
        """The draft of a writer's stream; ``table`` is what a new one begins with."""
        stream = run.streams.get(writer)
        if stream is None:
            stream = run.streams[writer] = self.sources.stream(run.view.head, writer, table)
        return stream

    def remembered(self, run: RunDraft, writer: str) -> Stream | None:
        """The draft of a stream, if it need not be read first."""
        if (run.run_id, writer) not in self.sources.memory.streams:
            return None
        return self.stream(run, writer, LayerTable())

    def digest(self, run: RunDraft, stream: Stream, seq: int) -> bytes | None:
        """The digest under which a frame is stored, be it in this group; None if it is new."""
        if not stream.position.knows(seq):
            return None
        if seq == stream.newest[0]:
            return stream.newest[1]
        arrival = run.arrivals.get((stream.writer, seq))
        if arrival is not None:
            return arrival.digest
        return frames.digest(self.sources.connection, Identity(run.run_id, stream.writer, seq))

    def stored_steps(self, run: RunDraft, stream: Stream, first: int, last: int) -> list[int]:
        """The steps of a stream's frames that reach into ``first`` … ``last``, and maybe more."""
        stored = frames.stored_steps(
            self.sources.connection, run.run_id, stream.writer, first, last
        )
        fresh = {
            step
            for (writer, _), arrival in run.arrivals.items()
            if writer == stream.writer
            for step in arrival.frame.steps.tolist()
        }
        return sorted(stored | fresh)

    def accept(
        self, run: RunDraft, stream: Stream, arrival: Arrival, *, may_wait: bool = False
    ) -> Placed:
        """Store a new frame of the job; only calm reports ``may_wait`` to be judged."""
        if stalled(run) is not None or run.silence is not None:
            self.observe(run, *NO_SILENCE)
        run.hear_of(stream, arrival.frame)
        # Ranks are compared as their reports come.
        self._append(run, stream, arrival, may_wait=may_wait and not run.has_ranks)
        run.told[stream.writer] = frozenset()
        return Placed(
            run=run,
            stream=stream,
            accepted=len(arrival.frame),
            duplicates=0,
            position=stream.position,
            is_new=True,
        )

    def silence(self, run: RunDraft) -> Stream:
        """The stream of what was seen of a run's silence."""
        return self.stream(run, own.name(own.SILENCE, run.view.head.attempt), LayerTable())

    def observe(self, run: RunDraft, seconds: float, patience: float) -> None:
        """Note for how long a run has been silent; that it no longer is needs saying but once."""
        stream = self.silence(run)
        if not (run.pushes and stream.unjudged):
            seq, now = stream.position.next_seq, self.ledger.now
            self._append(run, stream, observation(run, seq, now, seconds, patience))

    def judge(self) -> None:
        """Have judged all that waits in the urgent streams; the pushes are told what changed."""
        sent = [
            (run, stream, self.sources.judge.submit(stream.task(stream.waiting)).answer)
            for run in self.drafts.values()
            for writer in run.urgent
            if (stream := run.streams[writer]).unjudged
        ]
        for run, stream, answer in sent:
            self.apply(run, stream, stream.waiting, answer.result())
        for run in self.drafts.values():
            for writer in run.told:
                run.told[writer] = run.streams[writer].tell()

    def apply(self, run: RunDraft, stream: Stream, reports: int, judged: Judged) -> None:
        """Take over how the next so many reports of a stream were judged."""
        run.touched.add(stream.writer)
        for place, one in enumerate(stream.take(reports, judged)):
            failure = judged.failures.get(place)
            if failure is not None:
                degrade(run, failure)
                self._leave_out(run, stream, one)
        for event in judged.events:
            self.ledger.add_transition(run.run_id, stream.writer, stream.transitions, event)
            stream.transitions += 1
        for part in judged.parts:
            run.change(stream.writer, Contribution(stream.attempt, part), self.ledger)
        stream.news |= {part.cause for part in judged.parts}
        if stream.writer == own.name(own.SILENCE, stream.attempt):  # nobody pushes there
            run.common |= stream.tell()
        if judged.packed is not None:
            self.ledger.checkpoints.append(stream.checkpoint(run.run_id, judged.packed))

    def is_sure(self, push: Push, outcome: Placed | Exception | None) -> bool:
        """Whether an answer can be given; only what is written is compared with what is stored."""
        if push.run_id not in self.trusted or outcome is None:
            return True
        return isinstance(outcome, Placed) and outcome.is_new

    def told_to(self, placed: Placed) -> frozenset[str]:
        """The causes that a push is told of."""
        told = placed.run.told.get(placed.stream.writer, frozenset())
        return told if placed.is_new else frozenset()

    def positions(self, run: RunDraft) -> dict[str, int]:
        """How far those streams of a run are stored that this group touches: below this seq."""
        return {writer: run.streams[writer].position.next_seq for writer in run.touched}

    def install(self, memory: Memory) -> list[tuple[StreamKey, Stream]]:
        """Remember what has been committed; returns the streams forgotten for it."""
        for run_id, view in self.views.items():
            memory.views.put(run_id, view)
        for run_id, comparison in self.comparisons.items():
            memory.comparisons.put(run_id, comparison)
        known = [(key, stream) for key, stream in self.streams if stream.version]
        forgotten = [memory.streams.put(key, stream, stream.weight) for key, stream in known]
        return list(chain.from_iterable(forgotten))

    def _leave_out(self, run: RunDraft, stream: Stream, one: Unjudged) -> None:
        """A frame on which judging failed stays stored, but has no place in the fold."""
        if one.is_whole:
            self._place(run, stream, one.seq, None)
            run.folded = [x for x in run.folded if x[1] is not one.frame]

    def _append(
        self, run: RunDraft, stream: Stream, arrival: Arrival, *, may_wait: bool = False
    ) -> None:
        self._store(run, stream, arrival)
        stream.position, ready = stream.position.arrive(arrival.seq)
        for seq in ready:
            self._take(run, stream, seq, may_wait=may_wait)

    def _store(self, run: RunDraft, stream: Stream, arrival: Arrival) -> None:
        frame, row = arrival.frame, arrival.row
        run.arrivals[stream.writer, arrival.seq] = arrival
        run.touched.add(stream.writer)
        row["run_id"], row["writer"], row["attempt"] = run.run_id, stream.writer, stream.attempt
        row["received_at"] = self.ledger.now
        self.ledger.frames.append(row)
        for event in frame.events:
            self.ledger.events.append(
                events.row(
                    run.run_id, stream.attempt, event, uuid7(self.ledger.now), self.ledger.now
                )
            )
        stream.newest = (arrival.seq, arrival.digest)

    def _take(self, run: RunDraft, stream: Stream, seq: int, *, may_wait: bool) -> None:
        """Give a frame its place in the fold."""
        arrival = run.arrivals.get((stream.writer, seq))
        if arrival is not None:
            frame, layers = arrival.frame, arrival.layers
        else:
            identity = Identity(run.run_id, stream.writer, seq)
            frame = frames.frame(self.sources.connection, identity)
            layers = self.sources.table(run.view.head, frame.layers_hash)
        if not (may_wait and stream.may_wait(frame)):
            run.urgent[stream.writer] = None
        self._place(run, stream, seq, stream.reports)
        run.folded.append((stream.writer, frame))
        stream.append(seq, frame, layers)

    def _place(self, run: RunDraft, stream: Stream, seq: int, ordinal: int | None) -> None:
        """Note where a frame stands in the fold, be it new or stored earlier; None: nowhere."""
        arrival = run.arrivals.get((stream.writer, seq))
        if arrival is not None:
            arrival.row["ordinal"] = ordinal
        else:
            self.ledger.ordinals[Identity(run.run_id, stream.writer, seq)] = ordinal


def _views(
    sources: Sources, pushes: Collection[Push]
) -> tuple[dict[uuid.UUID, RunView], frozenset[uuid.UUID]]:
    """Views of the runs, and of which what memory says is trusted: they get nothing but frames."""
    if not pushes:
        return {}, frozenset()
    runs = {push.run_id for push in pushes}
    others = {push.run_id for push in pushes if not isinstance(push, FramePush | Verdict)}
    trusted = frozenset() if sources.verify else frozenset(runs - others)
    return sources.views(runs, trusted), trusted
