"""Forms for channels: each kind's fields as its settings declare them, in words for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal

from gradwatch_service.notify.channels import schemas
from gradwatch_service.notify.options import Options

Control = Literal["secret", "text", "number", "choice", "switch", "lines"]

# kind -> its name, and what it is for
KINDS: Final[Mapping[str, tuple[str, str]]] = {
    "slack": ("Slack", "An incoming webhook; Mattermost, Rocket.Chat and Discord take the same."),
    "webhook": ("Signed webhook", "JSON for a program of yours, which can check who sent it."),
    "email": ("Email", "Mail through your server, with a picture of loss and gradient norm."),
    "pagerduty": ("PagerDuty", "One incident for each run, ended when all is well again."),
    "alertmanager": ("Alertmanager", "Prometheus' Alertmanager routes the alerts on."),
    "apprise": ("Apprise", "Any service that Apprise knows and the operator allows."),
}
LABELS: Final[Mapping[str, str]] = {
    "url": "Address",
    "secret": "Secret that signs",
    "previous_secret": "Previous secret",
    "authorization": "Authorization header",
    "routing_key": "Routing key",
    "host": "Mail server",
    "security": "Encryption",
    "sender": "From",
    "min_severity": "Tell",
    "send_resolved": "Also tell when it is over",
}
# (kind, field) or field -> what to put there
HINTS: Final[Mapping[str, str]] = {
    "slack/url": "https://hooks.slack.com/services/…, as Slack shows it when the webhook is added",
    "webhook/url": "where the messages are posted, by https",
    "alertmanager/url": "where Alertmanager is, without /api",
    "pagerduty/url": "left empty: PagerDuty's own; in the EU https://events.eu.pagerduty.com/v2/enqueue",
    "apprise/url": "as Apprise's documentation of the service shows it",
    "secret": "whsec_ and 24 to 64 bytes in base64; whoever listens checks signatures with it",
    "previous_secret": "signs as well, until every listener knows the new one",
    "authorization": "as Alertmanager wants it, such as Bearer …",
    "routing_key": "the integration key of a service (Events API v2)",
    "port": "587 with STARTTLS, 465 with TLS",
    "username": "goes together with the password",
    "to": "one address a line, up to 20",
}
CHOICES: Final[Mapping[str, str]] = {
    "info": "everything, information too",
    "warning": "warnings and graver",
    "error": "errors and critical alerts",
    "critical": "critical alerts alone",
    "starttls": "STARTTLS",
    "tls": "TLS from the first byte",
    "none": "none (if the operator allows it)",
}


@dataclass(frozen=True, slots=True)
class Field:
    """One input: ``name`` is its place in the body, which is where errors point to."""

    name: str
    label: str
    control: Control
    hint: str
    required: bool
    default: Any
    choices: Sequence[tuple[str, str]] = ()
    low: int | None = None
    high: int | None = None


@dataclass(frozen=True, slots=True)
class Form:
    """What is asked for a channel of one kind; ``common`` are the options that all have."""

    kind: str
    title: str
    purpose: str
    own: Sequence[Field]
    common: Sequence[Field]

    @property
    def fields(self) -> Sequence[Field]:
        """All of them, its own first."""
        return [*self.own, *self.common]


@cache
def forms() -> Mapping[str, Form]:
    """The form of every kind there is, those with words of ours first."""
    known = schemas()
    ordered = [*(kind for kind in KINDS if kind in known), *(x for x in known if x not in KINDS)]
    return {kind: _form(kind, known[kind]) for kind in ordered}


def title_of(kind: str) -> str:
    """What a kind is called."""
    return KINDS.get(kind, (kind, ""))[0]


def _form(kind: str, schema: Mapping[str, Any]) -> Form:
    fields = {one.name.rpartition("/")[2]: one for one in _fields(kind, schema)}
    common = Options.model_fields.keys()
    title, purpose = KINDS.get(kind, (kind, str(schema.get("description", ""))))
    return Form(
        kind=kind,
        title=title,
        purpose=purpose,
        own=[one for name, one in fields.items() if name not in common],
        common=[one for name, one in fields.items() if name in common],
    )


def _fields(kind: str, schema: Mapping[str, Any]) -> Iterator[Field]:
    needed = schema.get("required", ())
    for name, told in schema["properties"].items():
        form = {**told, **next(iter(told.get("anyOf", ())), {})}
        control = _control(form)
        yield Field(
            name=f"settings/{name}",
            label=LABELS.get(name, name.replace("_", " ").capitalize()),
            control=control,
            hint=HINTS.get(f"{kind}/{name}", HINTS.get(name, "")),
            required=name in needed,
            default=None if control == "secret" else form.get("default"),
            choices=[(one, CHOICES.get(one, one)) for one in form.get("enum", ())],
            low=form.get("minimum"),
            high=form.get("maximum"),
        )


def _control(form: Mapping[str, Any]) -> Control:
    if form.get("writeOnly"):
        return "secret"
    if "enum" in form:
        return "choice"
    by_type: Mapping[str, Control] = {"integer": "number", "boolean": "switch", "array": "lines"}
    return by_type.get(form["type"], "text")
