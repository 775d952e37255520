"""Who is reporting: the run, and this start of it, as ``POST /runs`` introduces them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradwatch.ids import uuid7
from gradwatch.layers import LayerTable
from gradwatch.values import JsonValue, as_json, as_step, is_name

MAX_CONFIG_BYTES = 1 << 20
MAX_TAGS = 100


@dataclass(frozen=True, slots=True)
class Launch:
    """One start of one run; ``launch_id`` is the same in every process of a job that shares it."""

    run_id: str
    project: str
    launch_id: str
    name: str | None = None
    config: Mapping[str, JsonValue] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    resume_step: int | None = None

    def body(self, table: LayerTable) -> dict[str, JsonValue]:
        """The body of ``POST /runs``, with the layer table if there is one."""
        body: dict[str, JsonValue] = {
            "id": self.run_id,
            "project": self.project,
            "launch_id": self.launch_id,
            "config": dict(self.config),
            "tags": list(self.tags),
        }
        if self.name is not None:
            body["name"] = self.name
        if self.resume_step is not None:
            body["resume_step"] = self.resume_step
        if len(table):
            body["layers"] = table.described()
        return body


def read_launch(project: str, given: Mapping[str, object]) -> tuple[Launch, list[str]]:
    """A launch from what a user gave to ``init``, and which of it could not be understood."""
    read: dict[str, Any] = {
        key: reader(given[key]) for key, reader in _READERS.items() if given.get(key) is not None
    }
    launch = Launch(
        run_id=read.get("id") or str(uuid7()),
        project=project,
        launch_id=read.get("launch_id") or str(uuid7()),
        name=read.get("name"),
        config=read.get("config") or {},
        tags=read.get("tags") or (),
        resume_step=read.get("resume_step"),
    )
    return launch, [key for key, value in read.items() if value is None]


def _uuid(value: object) -> str | None:
    try:
        return str(uuid.UUID(str(value)))
    except ValueError:
        return None


def _name(value: object) -> str | None:
    return value if isinstance(value, str) and is_name(value) else None


def _config(value: object) -> dict[str, JsonValue] | None:
    config = as_json(value)
    usable = isinstance(config, dict) and len(json.dumps(config)) <= MAX_CONFIG_BYTES
    return config if usable and isinstance(config, dict) else None


def _tags(value: object) -> tuple[str, ...] | None:
    given = list(value) if isinstance(value, list | tuple | set | frozenset) else [value]
    tags = tuple(tag for tag in given if isinstance(tag, str) and is_name(tag))
    return tags if len(tags) == len(given) <= MAX_TAGS else None


def _step(value: object) -> int | None:
    return as_step(value) if isinstance(value, int | np.integer) else None


_READERS: Mapping[str, Callable[[object], object]] = {
    "id": _uuid,
    "launch_id": _name,
    "name": _name,
    "config": _config,
    "tags": _tags,
    "resume_step": _step,
}
