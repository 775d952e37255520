"""The client's commands: every module here is one, with its name, ``add_arguments`` and ``run``."""

from __future__ import annotations

from dataclasses import dataclass

from gradwatch.config import Config
from gradwatch.transport import Transport


@dataclass(frozen=True, slots=True)
class Context:
    """What a command works with."""

    config: Config
    transport: Transport
