"""PagerDuty's Events API v2, and all that take the same: one incident for each run."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Literal

from pydantic import SecretStr

from gradwatch_service.notify.escape import plain
from gradwatch_service.notify.message import Message, Subject
from gradwatch_service.notify.options import Options, Secret, Url
from gradwatch_service.notify.outgoing import Outgoing
from gradwatch_service.notify.verdict import require_taken
from gradwatch_service.notify.words import words_of

AT_ONCE = 8  # each run is a request, and a digest has up to 200 of them
SUMMARY_MAX = 1_024


class Settings(Options):
    """``routing_key``: the integration key of a service; ``url``: of another region or product."""

    routing_key: Secret
    url: Url = SecretStr("https://events.pagerduty.com/v2/enqueue")


class Way:
    """Triggers the incident of each run that has an alert, resolves that of each that has none."""

    def __init__(self, settings: Settings, outgoing: Outgoing) -> None:
        self._url = settings.url.get_secret_value()
        self._key = settings.routing_key.get_secret_value()
        self._outgoing = outgoing

    def deliver(self, message: Message) -> None:
        """Send an event for each run; PagerDuty takes the same event again for the same."""
        if message.kind == "test":
            self._send(_event("trigger", f"test/{message.delivery_id}", message))
            self._send(_event("resolve", f"test/{message.delivery_id}", message))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for _ in pool.map(self._send, _of_runs(message)):  # the first that fails is raised
                pass

    def _send(self, event: dict[str, Any]) -> None:
        content = json.dumps({"routing_key": self._key, **event}).encode()
        headers = {"Content-Type": "application/json"}
        require_taken(self._outgoing.send("POST", self._url, headers, content))


Action = Literal["trigger", "resolve"]


def _of_runs(message: Message) -> Iterator[dict[str, Any]]:
    by_run: dict[uuid.UUID, list[Subject]] = {}
    for subject in message.subjects:
        by_run.setdefault(subject.run_id, []).append(subject)
    for run_id, subjects in by_run.items():
        is_firing = any(subject.is_firing for subject in subjects)
        of_run = replace(
            message,
            kind="firing" if is_firing else "resolved",
            run_id=run_id,
            run_name=subjects[0].run_name,
            subjects=tuple(subjects),
        )
        yield _event("trigger" if is_firing else "resolve", f"{run_id}", of_run)


def _event(action: Action, key: str, message: Message) -> dict[str, Any]:
    event: dict[str, Any] = {"event_action": action, "dedup_key": f"gradwatch/{key}"}
    if action == "resolve":
        return event
    words = words_of(message)
    payload = {
        "summary": plain(words.title)[:SUMMARY_MAX],
        "source": f"gradwatch/{plain(message.project)}",
        "severity": message.severity.label,
        "timestamp": message.at.isoformat(),
        "group": plain(message.project),
        "custom_details": {"message": words.text(plain)},
    }
    if message.subjects:
        payload |= {"component": plain(message.run_name), "class": message.subjects[0].cause}
    links = [{"href": message.link, "text": "Open in Gradwatch"}] if message.link else []
    return event | {"client": "Gradwatch", "payload": payload, "links": links}
