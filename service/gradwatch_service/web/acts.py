"""Entries of the audit log as sentences: who did what to what."""

from __future__ import annotations

from typing import Any, Final

# act -> what somebody did, and whether it was to something that has a name or an id
ACTS: Final[dict[str, tuple[str, bool]]] = {
    "channel-made": ("added the channel", True),
    "channel-changed": ("changed the channel", True),
    "channel-deleted": ("deleted the channel", True),
    "delivery-replayed": ("sent a dead letter once more:", True),
    "key-made": ("made the key", True),
    "key-rotated": ("rotated the key", True),
    "key-revoked": ("revoked the key", True),
    "rules-set": ("set the rules", False),
    "run-deleted": ("deleted the run", True),
    "session-begun": ("signed in", False),
}


def what(act: str) -> str:
    """What somebody did; an act without words of ours by its id."""
    return ACTS.get(act, (act.replace("-", " "), True))[0]


def to_what(entry: dict[str, Any]) -> str:
    """Its object: the name where it had one, else its id."""
    if not ACTS.get(entry["act"], ("", True))[1]:
        return ""
    return str(entry["detail"].get("name") or entry["target"])


def more(entry: dict[str, Any]) -> str:
    """What else was noted, in the order of the log."""
    rest = {key: value for key, value in entry["detail"].items() if key != "name"}
    return ", ".join(f"{key}: {_said(value)}" for key, value in rest.items())


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
