"""Broken items of a push: what the sender is told about each, and when nothing is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gradwatch_service.detect.rules import catalogue
from gradwatch_service.detect.tuning import SWITCHES, thresholds
from gradwatch_service.domain import JsonValue
from gradwatch_service.errors import Invalid, ItemError

Rejection = Mapping[str, JsonValue]

MAX_PARTS = 6

# The only words a pointer repeats are ours; a sender's own names never come back in an error.
KNOWN = frozenset({
    "steps", "step", "time", "scalars", "layers", "layers_hash", "profiles", "events", "kind",
    "loss", "lr", "grad_norm", "clip_norm", "loss_scale", "found_inf", "batch_size", "seq_len",
    "step_seconds", "grad_max", "grad_mean", "grad_rms", "grad_nonfinite", "grad_zero",
    "weight_norm", "update_norm", "bias_grad_norm", "act_grad_norm",
    "project", "name", "id", "config", "tags", "launch_id", "resume_step", "depth", "shape",
    "dtype", "activation", "normalised", "residual", "state", "reason",
    "settings", "url", "secret", "previous_secret", "authorization", "routing_key", "host", "port",
    "security", "username", "password", "sender", "min_severity", "send_resolved", "enabled",
    "writer", "query", "limit", "cursor", "points", "from", "to", "metric", "layer",
    "runs", "by", *SWITCHES, *(rule.id for rule in catalogue()),
    *(one.name for rule in catalogue() for one in thresholds(rule)),
})  # fmt: skip


def shown(pointer: str) -> str:
    """The pointer up to the first part that is neither an index nor a word of the contract."""
    parts = []
    for part in pointer.split("/")[1 : MAX_PARTS + 1]:
        if part not in KNOWN and not (part.isascii() and part.isdecimal() and len(part) < 10):
            break
        parts.append(f"/{part}")
    return "".join(parts)


def rejection(index: int, error: Invalid) -> Rejection:
    """Say which item was refused, where and why."""
    where = error.errors[0]
    return {
        "index": index,
        "pointer": shown(where.pointer),
        "code": where.code,
        "detail": error.detail,
    }


def nothing_left(rejections: Sequence[Rejection]) -> Invalid:
    """The answer when no item of a body is fit to be stored."""
    return Invalid(
        f"every item breaks the contract; the first: {rejections[0]['detail']}",
        errors=tuple(ItemError(str(item["pointer"]), str(item["code"])) for item in rejections),
    )
