"""What processes and their children have spent, from ``/proc``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PARENT, _TIMES, _RESIDENT = 1, slice(11, 15), 21  # fields of ``stat`` after the name


@dataclass(frozen=True)
class Usage:
    """Processor seconds, and resident bytes (those of the newer one after a subtraction)."""

    cpu_seconds: float = 0.0
    resident_bytes: int = 0

    def __sub__(self, earlier: Usage) -> Usage:
        return Usage(self.cpu_seconds - earlier.cpu_seconds, self.resident_bytes)


def usage(pids: Sequence[int]) -> Usage:
    """What these processes and all their descendants have used, those included that have ended."""
    found = [_fields(pid) for pid in _with_descendants(pids)]
    return Usage(
        sum(int(ticks) for one in found for ticks in one[_TIMES]) / _TICKS,
        sum(int(one[_RESIDENT]) for one in found if one) * _PAGE,
    )


def _with_descendants(pids: Sequence[int]) -> set[int]:
    parents = {pid: int(found[_PARENT]) for pid in _all_pids() if (found := _fields(pid))}
    family = set(pids)
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return family


def _all_pids() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _fields(pid: int) -> list[str]:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []
