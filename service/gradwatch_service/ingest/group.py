"""One transaction's worth of pushes: each placed in its stream and folded.

Nothing here outlives the transaction: what is to be remembered is installed after the commit.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection
from itertools import chain

from gradwatch_service.domain import Frame, LayerTable
from gradwatch_service.errors import NotFound
from gradwatch_service.ingest import own
from gradwatch_service.ingest.comparison import Comparison
from gradwatch_service.ingest.conclusion import degrade
from gradwatch_service.ingest.ledger import Ledger
from gradwatch_service.ingest.outcomes import outcome_of
from gradwatch_service.ingest.placed import Arrival, Placed
from gradwatch_service.ingest.pushes import Push
from gradwatch_service.ingest.replay import chunks, join
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
        self.streams: dict[StreamKey, Stream] = {}
        self.touched: set[StreamKey] = set()
        self.views = sources.views({push.run_id for push in pushes}) if pushes else {}
        self.drafts = {run_id: RunDraft(view) for run_id, view in self.views.items()}
        self.comparisons: dict[uuid.UUID, Comparison] = {}
        self._arrivals: dict[Identity, Arrival] = {}

    def run(self, run_id: uuid.UUID) -> RunDraft:
        """The draft of a run.

        Raises:
            NotFound: there is no such run.
        """
        if run_id not in self.drafts:
            raise NotFound(f"no run {run_id}: create it with POST /runs")
        return self.drafts[run_id]

    def view(self, run: RunDraft) -> RunView:
        """The run as this group leaves it."""
        return self.views[run.run_id]

    def stream(self, run: RunDraft, writer: str, table: LayerTable) -> Stream:
        """The draft of a writer's stream; ``table`` is what a new one begins with."""
        key = (run.run_id, writer)
        if key not in self.streams:
            self.streams[key] = self.sources.stream(run.view.head, writer, table)
        return self.streams[key]

    def digest(self, run: RunDraft, stream: Stream, seq: int) -> bytes | None:
        """The digest under which a frame is stored, be it in this group; None if it is new."""
        if not stream.position.knows(seq):
            return None
        if seq == stream.newest[0]:
            return stream.newest[1]
        identity = Identity(run.run_id, stream.writer, seq)
        if identity in self._arrivals:
            return self._arrivals[identity].digest
        return frames.digest(self.sources.connection, identity)

    def stored_steps(self, run: RunDraft, stream: Stream, first: int, last: int) -> list[int]:
        """The steps of a stream's frames that reach into ``first`` … ``last``, and maybe more."""
        stored = frames.stored_steps(
            self.sources.connection, run.run_id, stream.writer, first, last
        )
        fresh = {
            step
            for identity, arrival in self._arrivals.items()
            if identity.run_id == run.run_id and identity.writer == stream.writer
            for step in arrival.frame.steps.tolist()
        }
        return sorted(stored | fresh)

    def accept(
        self, run: RunDraft, stream: Stream, arrival: Arrival, *, may_wait: bool = False
    ) -> Placed:
        """Store a new frame of the job, and judge what is due; calm reports ``may_wait``."""
        if stalled(run) is not None:
            run.common |= self.observe(run, *NO_SILENCE)
        run.hear_of(stream, arrival.frame)
        # Ranks are compared as their reports come.
        may_wait = may_wait and not run.has_ranks
        causes = self._append(run, stream, arrival, may_wait=may_wait)
        return Placed(
            run=run,
            stream=stream,
            accepted=len(arrival.frame),
            duplicates=0,
            position=stream.position,
            is_new=True,
            causes=stream.tell(causes),
        )

    def observe(self, run: RunDraft, seconds: float, patience: float) -> set[str]:
        """Note for how long a run has been silent; returns the causes that changed."""
        stream = self.stream(run, own.name(own.SILENCE, run.view.head.attempt), LayerTable())
        seq, now = stream.position.next_seq, self.ledger.now
        return self._append(run, stream, observation(run, seq, now, seconds, patience))

    def positions(self, run_id: uuid.UUID) -> dict[str, int]:
        """How far those streams of a run are stored that this group touches: below this seq."""
        writers = (writer for touched, writer in self.touched if touched == run_id)
        return {writer: self.streams[run_id, writer].position.next_seq for writer in writers}

    def install(self, memory: Memory) -> None:
        """Remember what has been committed."""
        for run_id, view in self.views.items():
            memory.views.put(run_id, view)
        for key, stream in self.streams.items():
            if stream.version:
                memory.streams.put(key, stream)
        for run_id, comparison in self.comparisons.items():
            memory.comparisons.put(run_id, comparison)

    def judge(self, run: RunDraft, stream: Stream) -> set[str]:
        """Judge all that waits in a stream; returns the causes whose parts changed."""
        if stream.unjudged:
            self.touched.add((run.run_id, stream.writer))
        return self._judge(run, stream, stream.reports - stream.judged)

    def _append(
        self, run: RunDraft, stream: Stream, arrival: Arrival, *, may_wait: bool = False
    ) -> set[str]:
        self._store(run, stream, arrival)
        stream.position, ready = stream.position.arrive(arrival.seq)
        taken = [self._take(run, stream, seq, may_wait=may_wait) for seq in ready]
        return set(chain.from_iterable(taken))

    def _store(self, run: RunDraft, stream: Stream, arrival: Arrival) -> None:
        frame, identity = arrival.frame, Identity(run.run_id, stream.writer, arrival.seq)
        self._arrivals[identity] = arrival
        self.touched.add((run.run_id, stream.writer))
        self.ledger.frames[identity] = {
            **identity._asdict(),
            "attempt": stream.attempt,
            "digest": arrival.digest,
            "layers_hash": frame.layers_hash,
            "step_min": int(frame.steps.min()) if len(frame) else None,
            "step_max": int(frame.steps.max()) if len(frame) else None,
            "reports": len(frame),
            "ordinal": None,
            "received_at": self.ledger.now,
            "body": arrival.body,
        }
        for event in frame.events:
            row = events.row(
                run.run_id, stream.attempt, event, uuid7(self.ledger.now), self.ledger.now
            )
            self.ledger.events.append(row)
        stream.newest = (arrival.seq, arrival.digest)

    def _take(self, run: RunDraft, stream: Stream, seq: int, *, may_wait: bool) -> set[str]:
        """Give a frame its place in the fold; judge it now, or once its block of 16 is full."""
        identity = Identity(run.run_id, stream.writer, seq)
        arrival = self._arrivals.get(identity)
        if arrival is not None:
            frame, layers = arrival.frame, arrival.layers
        else:
            frame = frames.frame(self.sources.connection, identity)
            layers = self.sources.table(run.view.head, frame.layers_hash)
        waits = may_wait and stream.may_wait(frame)
        causes = set() if waits else self.judge(run, stream)
        if frame.layers_hash:
            stream.layers = layers
        self.ledger.place(identity, stream.reports)
        run.folded.append((stream.writer, frame))
        stream.append(seq, frame)
        due = stream.due if waits else stream.reports - stream.judged
        return causes | self._judge(run, stream, due)

    def _judge(self, run: RunDraft, stream: Stream, reports: int) -> set[str]:
        """Judge the next so many reports; returns the causes whose parts changed."""
        parts = list(stream.take(reports))
        causes: set[str] = set()
        for chunk in chunks([frame for _, frame in parts]):
            causes |= self._fold(run, stream, parts[: len(chunk)])
            parts = parts[len(chunk) :]
        return causes

    def _fold(self, run: RunDraft, stream: Stream, parts: list[tuple[Unjudged, Frame]]) -> set[str]:
        frame = join([part for _, part in parts])
        folded = outcome_of(self.sources.fold.update, stream.state, frame, stream.layers)
        if isinstance(folded, Exception):
            if len(parts) == 1:
                return self._leave_out(run, stream, *parts[0], folded)
            return set(chain.from_iterable(self._fold(run, stream, [part]) for part in parts))
        state, outcome = folded
        stream.move_to(state)
        for event in outcome.events:
            self.ledger.add_transition(run.run_id, stream.writer, stream.transitions, event)
            stream.transitions += 1
        for part in outcome.parts:
            run.change(stream.writer, Contribution(stream.attempt, part), self.ledger)
        return {part.cause for part in outcome.parts}

    def _leave_out(
        self, run: RunDraft, stream: Stream, left: Unjudged, part: Frame, error: Exception
    ) -> set[str]:
        """Judging a frame failed: it stays stored, but has no place in the fold."""
        degrade(run, error)
        if len(part) == len(left.frame):
            self.ledger.place(Identity(run.run_id, stream.writer, left.seq), None)
            run.folded = [one for one in run.folded if one[1] is not left.frame]
        return set()
