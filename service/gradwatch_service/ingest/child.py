"""A Python process of our own, which ends with this one, and two pipes to it."""

from __future__ import annotations

import fcntl
import sys
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from subprocess import Popen
from typing import NamedTuple

PIPE_BYTES = 2**20  # so much may be on its way without anybody waiting
ENDED = (EOFError, OSError)  # there is nobody at the other end


class Child(NamedTuple):
    """The process, what it is told, what it answers."""

    process: Popen[bytes]
    orders: Connection
    answers: Connection


def begin(program: str) -> Child:
    """Start it; ``program`` calls ``ends`` for its own ends of the pipes."""
    theirs_in, orders = Pipe(duplex=False)
    answers, theirs_out = Pipe(duplex=False)
    with theirs_in, theirs_out:
        for end in (orders, theirs_out):
            _widen(end)
        theirs = (theirs_in.fileno(), theirs_out.fileno())
        command = [sys.executable, "-P", "-c", program, *map(str, theirs)]
        # In a session of its own: an interrupt from the keyboard is for the parent.
        process = Popen(  # noqa: S603 - our own program
            command, pass_fds=theirs, start_new_session=True
        )
    return Child(process, orders, answers)


def ends() -> tuple[Connection, Connection]:
    """In the child: what it is told, and where to answer."""
    orders, answers = (Connection(int(number)) for number in sys.argv[1:])
    return orders, answers


def _widen(end: Connection) -> None:
    """Let much be on its way, where the system can (Linux) and lets us."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with suppress(OSError):
            fcntl.fcntl(end.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)
