"""One decision for all ranks of a job: rank 0's, told to the others every eighth step.

Which limits and which advice a process has heard of depends on when answers arrive. Applied by one
rank alone, a skip or another learning rate would make the replicas drift apart for good.
"""

from __future__ import annotations

import contextlib
import time
from datetime import timedelta
from typing import Any, TypeAlias

import torch
from torch import distributed

from gradwatch.autopilot.order import Word

EVERY = 8
HEAD_BYTES = 1024  # longer words need a second round
LENGTH_BYTES = 4
PATIENCE = timedelta(seconds=30)
ARRIVALS = "gradwatch/arrivals"  # in the job's store: ranks that have come, of all groups so far
LOOK_EVERY_SECONDS = 0.01


class Alone:
    """A job of one process: it decides at every step."""

    is_lead = True

    def is_turn(self, calls: int) -> bool:
        """Whether decisions may change at this call of ``monitor.step``."""
        del calls
        return True

    def share(self, word: Word) -> Word:
        """What rank 0 says."""
        return word

    def agree(self, *, done: bool) -> bool | None:
        """Whether every rank could do it (True) or none (False); None: some could."""
        return done

    def leave(self) -> None:
        """Nothing to leave."""


class Together:
    """Several processes: a group of their own, so that the job's collectives are not disturbed.

    Every method is a collective operation and raises ``RuntimeError`` if a rank does not take part
    within 30 seconds.
    """

    def __init__(self) -> None:
        self.is_lead = distributed.get_rank() == 0
        self._group = group_of_all()

    def is_turn(self, calls: int) -> bool:
        """Whether decisions may change at this call of ``monitor.step``."""
        return calls % EVERY == 0

    def share(self, word: Word) -> Word:
        """What rank 0 says; the word of any other rank is ignored."""
        packed = word.pack() if self.is_lead else b""
        framed = len(packed).to_bytes(LENGTH_BYTES, "little") + packed
        head = self._told(framed[:HEAD_BYTES], HEAD_BYTES)
        size = int.from_bytes(head[:LENGTH_BYTES], "little") + LENGTH_BYTES
        rest = self._told(framed[HEAD_BYTES:], size - HEAD_BYTES) if size > HEAD_BYTES else b""
        return Word.unpack((head + rest)[LENGTH_BYTES:size])

    def agree(self, *, done: bool) -> bool | None:
        """Whether every rank could do it (True) or none (False); None: some could."""
        votes = torch.tensor([int(done), int(not done)])
        distributed.all_reduce(votes, op=distributed.ReduceOp.MIN, group=self._group)
        everybody, nobody = votes.tolist()
        return bool(everybody) if everybody or nobody else None

    def leave(self) -> None:
        """Close the connections, so that the others notice at once."""
        leave_group(self._group)

    def _told(self, given: bytes, size: int) -> bytes:
        """Rank 0's bytes. A sum rather than a broadcast: it ends only if every rank takes part."""
        if not distributed.is_initialized():
            raise RuntimeError("torch.distributed was shut down")
        buffer = torch.zeros(size, dtype=torch.uint8)
        if self.is_lead:
            buffer[: len(given)] = torch.frombuffer(bytearray(given), dtype=torch.uint8)
        distributed.all_reduce(buffer, group=self._group)
        return bytes(buffer.numpy())


def group_of_all() -> Any:
    """A group of all ranks on the host.

    Raises:
        RuntimeError: not all of them came.
    """
    everybody = list(range(distributed.get_world_size()))
    _gather(len(everybody))
    # Synchronised locally, a group does not change how later groups of the job are numbered.
    return distributed.new_group(
        everybody, timeout=PATIENCE, backend="gloo", use_local_synchronization=True
    )


def leave_group(group: Any) -> None:
    """Close the connections of a group, so that the others notice at once."""
    with contextlib.suppress(RuntimeError, ValueError, AssertionError):
        distributed.destroy_process_group(group)


def _gather(world: int) -> None:
    """Wait for all ranks, before a group is made: gloo would keep a missing one's old address.

    Raises:
        RuntimeError: not all of them came.
    """
    store = distributed.distributed_c10d._get_default_store()
    complete = -(-store.add(ARRIVALS, 1) // world) * world
    deadline = time.monotonic() + PATIENCE.total_seconds()
    while store.add(ARRIVALS, 0) < complete:
        if time.monotonic() > deadline:
            store.add(ARRIVALS, -1)
            raise RuntimeError(f"not all {world} ranks called monitor.step")
        time.sleep(LOOK_EVERY_SECONDS)


Ranks: TypeAlias = Alone | Together


def is_first() -> bool:
    """Whether this process speaks for its job where the ranks do not decide together."""
    together = distributed.is_available() and distributed.is_initialized()
    return not together or distributed.get_rank() == 0


def connect() -> Ranks:
    """The ranks of this job, asked at the first step: by then all of them train.

    Raises:
        RuntimeError: not all of them came.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return Alone()
    return Together() if distributed.get_world_size() > 1 else Alone()
