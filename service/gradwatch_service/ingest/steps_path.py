"""The simple path: steps without writer or seq; what was stored before is left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gradwatch_service.domain import BoolArray
from gradwatch_service.errors import Conflict
from gradwatch_service.ingest import own
from gradwatch_service.ingest.arrival import Arrival
from gradwatch_service.ingest.group import Group
from gradwatch_service.ingest.placed import Placed
from gradwatch_service.ingest.pushes import StepsPush
from gradwatch_service.ingest.run_view import RunDraft
from gradwatch_service.ingest.step_tables import arrange, extend, first_mentions
from gradwatch_service.ingest.stream import Stream
from gradwatch_service.store import idempotency, packing
from gradwatch_service.store.wording import invalid


def place_steps(group: Group, push: StepsPush) -> Placed:
    """Store the steps that this path has not yet stored in the current attempt, and the events.

    With an idempotency key all are stored, once for the key.

    Raises:
        NotFound: there is no such run for the sender.
        Conflict: the key was used for another body.
        Invalid: there are neither steps nor events.
        TooLarge: the run would have too many layers.
    """
    if not (len(push.frame) or push.frame.events):
        raise invalid("/steps", "empty", "send at least one step")
    run = group.run(push.run_id, push.project)
    head = run.view.head
    table = run.extended or group.sources.table(head, head.layers_hash)
    writer = own.name(own.STEPS, head.attempt)
    if _is_replay(group, push):
        return _nothing_new(run, group.stream(run, writer, table), push)
    wider = extend(table, push.layer_names)
    stream = group.stream(run, writer, wider)
    keep = _unseen(group, run, stream, push)
    if not (keep.any() or push.frame.events):
        return _nothing_new(run, stream, push)
    if wider is not table:
        run.extended = wider
        group.ledger.tables.append((run.run_id, wider))
    frame = arrange(push, wider, keep)
    seq = stream.position.next_seq
    placed = group.accept(run, stream, Arrival(seq, push.digest, frame, packing.pack(frame), wider))
    if push.idempotency_key is not None:
        group.ledger.keys[run.run_id, push.idempotency_key] = push.digest
    return replace(placed, duplicates=len(push.frame) - len(frame), rejections=push.rejections)


def _is_replay(group: Group, push: StepsPush) -> bool:
    if push.idempotency_key is None:
        return False
    use = (push.run_id, push.idempotency_key)
    digest = group.ledger.keys.get(use) or idempotency.digest(group.sources.connection, *use)
    if digest is not None and digest != push.digest:
        raise Conflict("this idempotency key was used for another body: choose a new key")
    return digest is not None


def _unseen(group: Group, run: RunDraft, stream: Stream, push: StepsPush) -> BoolArray:
    steps = push.frame.steps
    if push.idempotency_key is not None or not len(steps):
        return np.ones(len(steps), dtype=np.bool_)
    keep = first_mentions(steps)
    first, last = int(steps.min()), int(steps.max())
    if stream.last_step is None or first > stream.last_step:
        return keep
    return keep & ~np.isin(steps, group.stored_steps(run, stream, first, last))


def _nothing_new(run: RunDraft, stream: Stream, push: StepsPush) -> Placed:
    return Placed(
        run,
        stream,
        accepted=0,
        duplicates=len(push.frame),
        position=stream.position,
        rejections=push.rejections,
    )
