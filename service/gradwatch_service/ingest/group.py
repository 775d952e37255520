"""One transaction's worth of pushes: each placed in its stream and folded, then written together.

Nothing here outlives the transaction: what is to be remembered is installed after the commit.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection

from gradwatch_service.domain import LayerTable
from gradwatch_service.errors import NotFound
from gradwatch_service.ingest.conclusion import conclude, degrade, verdict_row
from gradwatch_service.ingest.ledger import Ledger
from gradwatch_service.ingest.outcomes import outcome_of
from gradwatch_service.ingest.placed import Arrival, Placed
from gradwatch_service.ingest.pushes import FramePush, StepsPush
from gradwatch_service.ingest.run_view import RunDraft, RunView
from gradwatch_service.ingest.sources import Memory, Sources, StreamKey
from gradwatch_service.ingest.stream import Stream
from gradwatch_service.store import events, frames, heads, writers
from gradwatch_service.store.codec import uuid7
from gradwatch_service.store.frames import Identity
from gradwatch_service.store.parts import Contribution, Share


class Group:
    """Drafts of the runs and streams that the pushes of one transaction touch."""

    def __init__(
        self, sources: Sources, pushes: Collection[FramePush | StepsPush], now: dt.datetime
    ) -> None:
        self.sources = sources
        self.ledger = Ledger(now)
        self.streams: dict[StreamKey, Stream] = {}
        self._touched: set[StreamKey] = set()
        self._arrivals: dict[Identity, Arrival] = {}
        self._views = sources.views({push.run_id for push in pushes}) if pushes else {}
        self._runs = {run_id: RunDraft(view) for run_id, view in self._views.items()}

    def run(self, run_id: uuid.UUID) -> RunDraft:
        """The draft of a run.

        Raises:
            NotFound: there is no such run.
        """
        if run_id not in self._runs:
            raise NotFound(f"no run {run_id}: create it with POST /runs")
        return self._runs[run_id]

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

    def accept(self, run: RunDraft, stream: Stream, arrival: Arrival) -> Placed:
        """Store a new frame, and fold all that can be folded now."""
        self._store(run, stream, arrival)
        stream.position, ready = stream.position.arrive(arrival.seq)
        causes = [self._fold(run, stream, seq) for seq in ready]
        return Placed(
            run=run,
            stream=stream,
            accepted=len(arrival.frame),
            duplicates=0,
            position=stream.position,
            causes=frozenset().union(*causes),
        )

    def write(self) -> bool:
        """Write it all; False if another process moved on what this was based on.

        Runs first and in order: whoever shares a run with us waits there, and nobody deadlocks.
        """
        if not (self._note_runs() and self._move_streams()):
            return False
        self.ledger.write(self.sources.connection)
        return True

    def view(self, run: RunDraft) -> RunView:
        """The run as this group leaves it."""
        return self._views[run.run_id]

    def install(self, memory: Memory) -> None:
        """Remember what has been committed."""
        for run_id, view in self._views.items():
            memory.views.put(run_id, view)
        for key, stream in self.streams.items():
            if stream.version:
                memory.streams.put(key, stream)

    def _store(self, run: RunDraft, stream: Stream, arrival: Arrival) -> None:
        frame, identity = arrival.frame, Identity(run.run_id, stream.writer, arrival.seq)
        self._arrivals[identity] = arrival
        self._touched.add((run.run_id, stream.writer))
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
        stream.note_steps(frame)
        stream.newest = (arrival.seq, arrival.digest)
        run.pushes += 1
        if stream.last_step is not None:
            run.last_step = max(run.last_step, stream.last_step)

    def _fold(self, run: RunDraft, stream: Stream, seq: int) -> set[str]:
        """Judge one frame; returns the causes whose parts it changed."""
        identity = Identity(run.run_id, stream.writer, seq)
        arrival = self._arrivals.get(identity)
        if arrival is not None:
            frame, layers = arrival.frame, arrival.layers
        else:
            frame = frames.frame(self.sources.connection, identity)
            layers = self.sources.table(run.view.head, frame.layers_hash)
        if frame.layers_hash:
            stream.layers = layers
        folded = outcome_of(self.sources.fold.update, stream.state, frame, stream.layers)
        if isinstance(folded, Exception):
            degrade(run, folded)
            return set()
        self.ledger.place(identity, stream.state.ordinal)
        stream.state, outcome = folded
        for event in outcome.events:
            self.ledger.add_transition(run.run_id, stream.writer, stream.transitions, event)
            stream.transitions += 1
        for part in outcome.parts:
            contribution = Contribution(stream.attempt, part)
            run.changed.setdefault(part.cause, {})[stream.writer] = contribution
            self.ledger.parts[Share(run.run_id, part.cause, stream.writer)] = contribution
        return {part.cause for part in outcome.parts}

    def _note_runs(self) -> bool:
        connection, ledger = self.sources.connection, self.ledger
        runs = sorted(
            (run for run in self._runs.values() if run.pushes), key=lambda run: run.run_id
        )
        for run in runs:
            self._views[run.run_id] = conclude(run, self.sources.fold, ledger)
        verdicts = [verdict_row(run.view, self.view(run)) for run in runs if run.concludes]
        pushes = [run.push_row(ledger.now) for run in runs]
        return heads.note_pushes(connection, pushes) and heads.note_verdicts(connection, verdicts)

    def _move_streams(self) -> bool:
        connection = self.sources.connection
        touched = [
            (run_id, self.streams[run_id, writer]) for run_id, writer in sorted(self._touched)
        ]
        new = [stream.first_row(run_id) for run_id, stream in touched if not stream.version]
        known = [stream.next_row(run_id) for run_id, stream in touched if stream.version]
        if not writers.advance(connection, known):
            return False
        writers.add(connection, new)
        for _, stream in touched:
            stream.version += 1
        return True
