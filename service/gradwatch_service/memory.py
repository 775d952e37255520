"""Gives back to the system what was freed: of itself the C library keeps most of it for later."""

from __future__ import annotations

import ctypes


def give_back() -> None:
    """Trim the heap, where the C library can (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
