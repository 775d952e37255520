"""Which run a resource reports to: found by its attributes, so that any process finds it again."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from gradwatch_service.api import values
from gradwatch_service.api.otlp.reading import Attributes
from gradwatch_service.domain import JsonValue
from gradwatch_service.store.launches import RunRequest
from gradwatch_service.store.wording import check_name

PROJECT, SERVICE = "gradwatch.project", "service.name"
NICE_NAME = "gradwatch.run"
RUN_NAMES = ("gradwatch.run.id", NICE_NAME, "service.instance.id")
CONFIG = "gradwatch.config."
UNNAMED = "unknown_service"  # what SDKs call a service that was given no name
DEFAULT = "default"
TAG = "otlp"

_NAMESPACE = uuid.UUID("f4a5b0a0-6f0c-5c0b-9d0e-0d6f6b6f7470")


@dataclass(frozen=True, slots=True)
class Target:
    """A run, and how it is made if it is not there yet."""

    project: str
    run_id: uuid.UUID
    name: str
    config: Mapping[str, JsonValue]

    def as_request(self) -> RunRequest:
        """The same as the store knows it."""
        return RunRequest(self.run_id, self.project, self.name, self.config, tags=[TAG])


def target_of(attributes: Attributes, own_project: str | None) -> Target:
    """The run of a resource; ``own_project``: that of the key, None in local mode.

    Raises:
        Invalid: project or run have no possible name, or the config cannot be stored.
    """
    service = _text(attributes, SERVICE)
    service = None if service is not None and service.startswith(UNNAMED) else service
    project = _text(attributes, PROJECT) or own_project or service or DEFAULT
    given = next(filter(None, (_text(attributes, key) for key in RUN_NAMES)), None)
    name = check_name(given or service or TAG, "/run")
    return Target(
        project=check_name(project, "/project"),
        run_id=run_id_of(project, name),
        name=check_name(_text(attributes, NICE_NAME) or name, "/name"),
        config=_config(attributes),
    )


def run_id_of(project: str, name: str) -> uuid.UUID:
    """The id itself where the name is one; else the same id for the same names."""
    try:
        return uuid.UUID(name)
    except ValueError:
        return uuid.uuid5(_NAMESPACE, f"{project}\n{name}")


def _text(attributes: Attributes, key: str) -> str | None:
    value = attributes.get(key)
    return None if value is None else str(value) or None


def _config(attributes: Attributes) -> dict[str, JsonValue]:
    """What the job says of itself: ``gradwatch.config.lr`` as ``lr``, the rest as it is."""
    config: dict[str, JsonValue] = {
        key.removeprefix(CONFIG): value
        for key, value in attributes.items()
        if key not in (PROJECT, *RUN_NAMES)
    }
    values.free(config, "/config")
    return config
