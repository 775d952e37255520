"""Makes the names under which a process reports: run ids, launch ids, writer names."""

from __future__ import annotations

import secrets
import uuid

from gradwatch import clock


def uuid7() -> uuid.UUID:
    """A new UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, then 74 random bits."""
    millis = int(clock.now() * 1000) & (1 << 48) - 1
    head = millis << 16 | 0x7000 | secrets.randbits(12)
    return uuid.UUID(int=head << 64 | 0b10 << 62 | secrets.randbits(62))


def writer_name(rank: int) -> str:
    """A writer name no other process has, such as ``r0-3f9ac01be77d``."""
    return f"r{rank}-{secrets.token_hex(6)}"
