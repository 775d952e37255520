"""The fast path: a client's own frame, known by its writer and seq."""

from __future__ import annotations

from gradwatch_service.domain import MAX_STEP, Frame, LayerTable
from gradwatch_service.errors import Conflict
from gradwatch_service.ingest.arrival import Arrival
from gradwatch_service.ingest.group import Group
from gradwatch_service.ingest.own import is_reserved
from gradwatch_service.ingest.placed import Placed
from gradwatch_service.ingest.pushes import FramePush
from gradwatch_service.store.wording import check_name, invalid


def place_frame(group: Group, push: FramePush) -> Placed:
    """Store a frame, or find it stored.

    Raises:
        NotFound: there is no such run for the sender.
        UnknownLayers: the run does not know the frame's layer table.
        Conflict: another frame was stored under this seq.
        Invalid: the address or the width of the arrays breaks the contract.
    """
    _check_address(push)
    run = group.run(push.run_id, push.project)
    head, frame = run.view.head, push.frame
    table = group.sources.table(head, frame.layers_hash or head.layers_hash)
    _check_width(frame, table)
    stream = group.stream(run, push.writer, table)
    stored = group.digest(run, stream, push.seq)
    if stored is None:
        arrival = Arrival(push.seq, push.digest, frame, push.body, table)
        return group.accept(run, stream, arrival, may_wait=True)
    if stored != push.digest:
        raise Conflict(
            f"frame {push.seq} of this writer is stored with another body: writers must be unique "
            "per process, and a frame must not change between tries"
        )
    return Placed(run, stream, accepted=0, duplicates=len(frame), position=stream.position)


def _check_address(push: FramePush) -> None:
    check_name(push.writer, "/writer")
    if is_reserved(push.writer):
        raise invalid("/writer", "reserved-writer", "writers of this name are the service's own")
    if not 0 <= push.seq <= MAX_STEP:
        raise invalid("/seq", "out-of-range", "seq must be from 0 to 2^53 - 1")


def _check_width(frame: Frame, table: LayerTable) -> None:
    block = next(iter(frame.layers.values()), None)  # they are all of one width
    if block is not None and len(block) and block.shape[1] != len(table):
        raise invalid(
            "/layers", "wrong-width", f"the layer table of this hash has {len(table)} layers"
        )
