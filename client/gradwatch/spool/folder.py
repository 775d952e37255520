"""The spool folder: whose file is whose, which have lost their writer, and who takes those over.

There are no locks. A writer touches its file at least every minute; a file that nobody has touched
for five is an orphan, and whoever manages to rename it may deliver it. What two deliver by mistake
is stored once.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from gradwatch import clock
from gradwatch.spool.entries import MAGIC, DamagedError, read_object, scan
from gradwatch.spool.journal import Journal
from gradwatch.spool.storage import Snapshot, SpoolFile
from gradwatch.values import JsonValue

SUFFIX = ".spool"
UNFINISHED = ".new"
DAMAGED = ".damaged"
TOUCH_SECONDS = 60.0
ORPHAN_SECONDS = 300.0

_CLAIMED = "~"


def path_of(spool: Path, run_id: str, writer: str) -> Path:
    """Where a writer keeps its queue."""
    return spool / run_id / f"{writer}{SUFFIX}"


def files(spool: Path) -> list[Path]:
    """All queues below a folder, by run and name; the oldest run first, as ids tell the time."""
    found = [*spool.glob(f"*{SUFFIX}"), *spool.glob(f"*/*{SUFFIX}")]
    return sorted(path for path in found if path.is_file())


def age_seconds(path: Path) -> float:
    """For how long nobody has touched it; 0 if it is gone."""
    try:
        return max(0.0, clock.now() - path.stat().st_mtime)
    except OSError:
        return 0.0


def is_orphan(path: Path) -> bool:
    """Whether its writer must have died."""
    return age_seconds(path) > ORPHAN_SECONDS


def total_bytes(folder: Path) -> int:
    """The size of the queues in the folder of a run; 0 if there is none."""
    with contextlib.suppress(OSError), os.scandir(folder) as found:
        return sum(entry.stat().st_size for entry in found)
    return 0


@contextlib.contextmanager
def looked_at(path: Path) -> Iterator[Journal]:
    """The queue in a file, which stays as it is.

    Raises:
        DamagedError: it is no spool.
        OSError: it cannot be read.
    """
    with contextlib.closing(Snapshot(path)) as snapshot:
        yield Journal(snapshot)


def intro_of(path: Path) -> dict[str, JsonValue]:
    """What a file says of itself at its beginning; nothing if it is none of ours."""
    with contextlib.suppress(OSError), contextlib.closing(Snapshot(path)) as file:
        if file.read(0, len(MAGIC)) == MAGIC:
            entry = next(scan(file.read), None)
            return {} if entry is None else read_object(entry.payload)
    return {}


def clear(spool: Path) -> None:
    """Remove what a process left that was killed while it wrote a file anew."""
    for path in spool.glob(f"*/*{SUFFIX}{UNFINISHED}"):
        if is_orphan(path):
            with contextlib.suppress(OSError):
                path.unlink()


def claim(path: Path) -> Path | None:
    """Take a file over, under a name that says so; None if somebody else was quicker."""
    writer = path.name.removesuffix(SUFFIX).partition(_CLAIMED)[0]
    mine = path.with_name(f"{writer}{_CLAIMED}{secrets.token_hex(4)}{SUFFIX}")
    try:
        path.rename(mine)
        os.utime(mine)
    except OSError:
        return None
    return mine


def open_claimed(path: Path) -> Journal | None:
    """The queue in a claimed file; None if it holds nothing, and then it is out of the way."""
    try:
        file = SpoolFile.open(path)
    except OSError:
        return None
    try:
        journal = Journal(file)
    except (DamagedError, OSError):
        file.close()
        with contextlib.suppress(OSError):
            path.rename(path.with_suffix(DAMAGED))
        return None
    if journal.frames or journal.farewell is not None:
        return journal
    file.remove()
    return None
