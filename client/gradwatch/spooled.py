"""What waits on this machine's disk, as a person asks for it: files, their runs and their order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gradwatch.spool import folder
from gradwatch.spool.entries import DamagedError
from gradwatch.spool.origin import Origin


@dataclass(frozen=True, slots=True)
class Spooled:
    """One writer's file."""

    path: Path
    origin: Origin
    records: int
    bytes: int
    age_seconds: float
    has_ended: bool

    @property
    def name(self) -> str:
        """Project, run and name, for people."""
        name, project = self.origin.run.get("name"), self.origin.run.get("project")
        called = f" ({name})" if name else ""
        return f"project {project}, run {self.origin.run_id}{called}"

    @property
    def is_being_written(self) -> bool:
        """Whether its job may go on."""
        return not self.has_ended and self.age_seconds <= folder.ORPHAN_SECONDS


def read(paths: Iterable[Path]) -> tuple[list[Spooled], list[Path]]:
    """What is in these files, without those that hold nothing; and which are no such files."""
    found, damaged = [], []
    for path in paths:
        try:
            with folder.looked_at(path) as journal:
                ended = journal.farewell is not None
                size, origin = journal.bytes, Origin.of(journal.intro)
                records = journal.records
        except (DamagedError, OSError):
            damaged.append(path)
            continue
        if records or ended:
            age = folder.age_seconds(path)
            found.append(Spooled(path, origin, records, size, age, ended))
    return found, damaged


def in_order(found: Sequence[Spooled]) -> list[Spooled]:
    """Runs one after the other, launches as they began, the file with the end of a launch last."""
    began: dict[tuple[str, object], float] = {}
    for item in found:
        key = _launch(item)
        began[key] = min(item.origin.began, began.get(key, item.origin.began))
    return sorted(
        found,
        key=lambda item: (item.origin.run_id, began[_launch(item)], item.has_ended, item.path),
    )


def _launch(item: Spooled) -> tuple[str, object]:
    return item.origin.run_id, item.origin.run.get("launch_id")
