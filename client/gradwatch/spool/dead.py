"""Keeps what the service refused for good, with the reason, for a person to look at; bounded."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

FOLDER = "dead"
MAX_BYTES = 64 << 20


def keep(spool: Path, body: bytes, why: Mapping[str, object]) -> None:
    """Keep a frame, as long as there is room and a disk: it is no longer waited for."""
    folder = spool / FOLDER
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        reason = json.dumps(why, indent=1).encode()
        if _size(folder) + len(body) + len(reason) > MAX_BYTES:
            return
        name = secrets.token_hex(6)
        _write(folder / f"{name}.frame", body)
        _write(folder / f"{name}.json", reason)


def _size(folder: Path) -> int:
    with os.scandir(folder) as found:
        return sum(entry.stat().st_size for entry in found)


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


_BINARY = getattr(os, "O_BINARY", 0)
