"""Prometheus' Alertmanager: each alert by its labels, so that what fires and what ends pair up."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from gradwatch_service.notify.channel import UndeliveredError
from gradwatch_service.notify.escape import line, plain
from gradwatch_service.notify.message import Message, Subject
from gradwatch_service.notify.options import Options, SecretLine, Url
from gradwatch_service.notify.outgoing import Outgoing
from gradwatch_service.notify.verdict import require_taken
from gradwatch_service.notify.words import EXPLANATION_MAX, layers_in_words, words_of

PATH = "/api/v2/alerts"
JSON = {"Content-Type": "application/json"}
LISTED_BYTES_MAX, RUNS_MAX = 2**22, 50
REMEDIES_MAX = 1_000
# It fires there until told otherwise, or until nothing has been heard of it for so long: more
# than any pause after which what still fires is told again, since what is acknowledged is not.
HELD = dt.timedelta(days=90)
TEST_HELD = dt.timedelta(minutes=5)

Labels = dict[str, str]


class Settings(Options):
    """``url``: where Alertmanager is, without ``/api``; ``authorization``: the header, if any."""

    url: Url
    authorization: SecretLine | None = None


class Way:
    """Posts every alert of a message."""

    def __init__(self, settings: Settings, outgoing: Outgoing) -> None:
        self._url = settings.url.get_secret_value().rstrip("/") + PATH
        given = settings.authorization
        self._headers = {"Authorization": given.get_secret_value()} if given else {}
        self._outgoing = outgoing

    def deliver(self, message: Message) -> None:
        """Post one message; what its alerts fire as there under other labels ends with it."""
        posted = [_of_test(message)] if message.kind == "test" else [*_alerts(message)]
        kept = [one["labels"] for one in posted]
        ours = {str(subject.alert_id) for subject in message.subjects}
        posted += [
            {"labels": labels, "endsAt": _time(message.at)}
            for labels in self._firing(sorted({str(one.run_id) for one in message.subjects}))
            if labels not in kept and labels.get("alert_id") in ours
        ]
        content = json.dumps(posted).encode()
        headers = {**JSON, **self._headers}
        require_taken(self._outgoing.send("POST", self._url, headers, content))

    def _firing(self, run_ids: list[str]) -> list[Labels]:
        """As what the alerts of runs fire there: severity and rule may have changed since."""
        if not run_ids:
            return []
        wanted = quote(f'run_id=~"{"|".join(run_ids[:RUNS_MAX])}"')
        answer = self._outgoing.send(
            "GET",
            f"{self._url}?filter={wanted}",
            self._headers,
            answer_bytes_max=LISTED_BYTES_MAX,
        )
        require_taken(answer)
        if len(answer.body) >= LISTED_BYTES_MAX:
            raise UndeliveredError("the receiver lists too many alerts", permanent=False)
        return _labels_in(answer.body)


def _labels_in(body: bytes) -> list[Labels]:
    try:
        return [
            {name: str(value) for name, value in one["labels"].items()} for one in json.loads(body)
        ]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        said = "the receiver does not answer as an Alertmanager does"
        raise UndeliveredError(said, permanent=True) from error


def _alerts(message: Message) -> Iterator[dict[str, Any]]:
    for subject in message.subjects:
        end = message.at + HELD if subject.is_firing else subject.ended_at or message.at
        yield {
            "labels": labels_of(subject, message),
            "annotations": _annotations(subject),
            "startsAt": _time(min(subject.opened_at, end)),
            "endsAt": _time(end),
            "generatorURL": message.link,
        }


def labels_of(subject: Subject, message: Message) -> Labels:
    """What an alert is known by; names as they are, so that routes can match them."""
    named = {"project": message.project, "run": subject.run_name}
    return {
        "alertname": subject.rule,
        "cause": subject.cause,
        "severity": subject.severity.label,
        **{key: name for key, name in named.items() if name},  # there, empty is the same as none
        "run_id": str(subject.run_id),
        "alert_id": str(subject.alert_id),
        "source": "gradwatch",
    }


def _annotations(subject: Subject) -> dict[str, str]:
    remedies = " ".join(f"{number}. {text}" for number, text in enumerate(subject.remedies, 1))
    found = {
        "summary": line(subject.title, EXPLANATION_MAX),
        "description": line(subject.explanation, EXPLANATION_MAX),
        "remedy": line(remedies, REMEDIES_MAX),
        "layers": layers_in_words(subject.layers) if subject.layers else "",
    }
    return {key: plain(text) for key, text in found.items() if text}


def _of_test(message: Message) -> dict[str, Any]:
    words = words_of(message)
    return {
        "labels": {
            "alertname": "gradwatch-test",
            "severity": "info",
            "project": message.project,
            "alert_id": str(message.delivery_id),
            "source": "gradwatch",
        },
        "annotations": {"summary": plain(words.title), "description": words.intro},
        "startsAt": _time(message.at),
        "endsAt": _time(message.at + TEST_HELD),
    }


def _time(at: dt.datetime) -> str:
    return at.astimezone(dt.UTC).isoformat()
