"""``gradwatch.init``: from arguments and settings to a run, or to one that is switched off."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, Unpack

from gradwatch.config import Config, load
from gradwatch.errors import BadConfig
from gradwatch.launch import read_launch
from gradwatch.layers import read_layers
from gradwatch.notices import logger
from gradwatch.off import OffRun
from gradwatch.run import Run
from gradwatch.values import is_name


class Options(TypedDict, total=False):
    """The keyword-only arguments of ``init``, all optional."""

    tags: Sequence[str] | None
    id: str | uuid.UUID | None
    launch_id: str | None
    resume_step: int | None
    url: str | None
    api_key: str | None
    mode: str | None
    layers: Sequence[Any] | None


def init(
    project: str,
    name: str | None = None,
    config: Mapping[str, Any] | None = None,
    **options: Unpack[Options],
) -> Run | OffRun:
    """Start to report a training run. Never raises, sends nothing yet, needs no server.

    Args:
        project: What the run belongs to.
        name: What to call it.
        config: Anything worth keeping; ``optimizer``, ``betas`` and ``framework`` help diagnosis.
        options: All by keyword:
            ``tags``, words to find the run by;
            ``id``, a UUID, to continue a run (default: a new UUIDv7);
            ``launch_id``, tells one start of the job from the next (default: new per process);
            ``resume_step``, the first step of this launch when it continues from a checkpoint;
            ``url``, address of the service (default: ``GRADWATCH_URL``, then
            http://127.0.0.1:8321);
            ``api_key`` (default: ``GRADWATCH_API_KEY``);
            ``mode``, ``online``, ``offline`` (to disk only, until ``gradwatch sync``) or
            ``disabled`` (default: ``GRADWATCH_MODE``, then online);
            ``layers``, names or descriptions of the layers, in forward order.

    Returns:
        The run; one that does nothing, after a warning in the log, if a setting is unusable.
    """
    try:
        settings = _settings(project, options)
    except BadConfig as error:
        logger.warning("gradwatch: reporting is off: %s", error)
        return OffRun()
    if settings.mode == "disabled":
        return OffRun()
    launch, malformed = read_launch(project, {"name": name, "config": config, **options})
    layers, unread = read_layers(options.get("layers") or ())
    malformed += [
        *(["layers"] if unread else []),
        *(options.keys() - Options.__annotations__.keys()),
    ]
    if malformed:
        logger.warning(
            "gradwatch: init() did not understand and left out: %s", ", ".join(malformed)
        )
    return Run(launch, settings, layers)


def _settings(project: object, options: Options) -> Config:
    settings = load(options.get("url"), options.get("api_key"), options.get("mode"))
    if not is_name(project):
        raise BadConfig("init() needs a project name of 1 to 512 bytes")
    return settings
