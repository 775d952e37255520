"""A message in words: what is wrong, where, since when, why, and what to do about it. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

from gradwatch_service.diagnose.causes import catalogue
from gradwatch_service.notify.escape import line
from gradwatch_service.notify.message import Message, Subject

TITLE_MAX, NAME_MAX, EXPLANATION_MAX, REMEDY_MAX = 150, 80, 700, 240
LAYERS_SHOWN, REMEDIES_SHOWN = 3, 3
SUBJECTS_SHOWN, DIGEST_SHOWN = 4, 10

Escape = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Item:
    """One alert; ``facts``: a question and its answer, ``steps``: what to do, the best first."""

    heading: str
    facts: tuple[tuple[str, str], ...]
    steps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Words:
    """Lines of bounded length without control characters; nothing is escaped yet."""

    title: str
    intro: str
    items: tuple[Item, ...]
    outro: str
    link: str

    def text(self, escape: Escape) -> str:
        """All of it as plain text."""
        return "\n".join(_lines(self, escape)).strip()


def words_of(message: Message) -> Words:
    """Put a message into words."""
    shown = message.subjects[: DIGEST_SHOWN if message.kind == "digest" else SUBJECTS_SHOWN]
    left = len(message.subjects) - len(shown)
    if message.kind == "digest":
        items = [_in_short(subject) for subject in shown]
    else:
        items = [_item(subject, message) for subject in shown]
    if len(items) == 1 and items[0].facts:
        items = [replace(items[0], heading="")]  # the title says it
    return Words(
        title=line(_title(message), TITLE_MAX),
        intro=_intro(message),
        items=tuple(items),
        outro=f"and {_counted(left, 'more alert')}" if left else "",
        link=message.link,
    )


def cause_in_words(cause: str) -> str:
    """What a cause is called in a list."""
    return _titles().get(cause, cause.replace("-", " "))


@cache
def _titles() -> dict[str, str]:
    return {cause.id: cause.title for cause in catalogue()}


def _title(message: Message) -> str:
    if message.kind == "test":
        return f"Test: alerts of {name(message.project)} will arrive here"
    if message.kind == "digest":
        runs = len({subject.run_id for subject in message.subjects})
        alerts = _counted(len(message.subjects), "alert")
        return f"{_state(message)}: {name(message.project)}: {alerts} in {_counted(runs, 'run')}"
    firing = [subject for subject in message.subjects if subject.is_firing]
    spoken = firing or message.subjects
    first = f"{spoken[0].title}" if spoken else "all is well"
    more = f" (and {len(spoken) - 1} more)" if len(spoken) > 1 else ""
    return f"{_state(message)}: {name(message.run_name)}: {line(first, TITLE_MAX - 60)}{more}"


def _state(message: Message) -> str:
    if not any(subject.is_firing for subject in message.subjects):
        return "RESOLVED"
    return f"{'STILL ' if message.repeats else ''}{message.severity.label.upper()}"


def _intro(message: Message) -> str:
    if message.kind == "test":
        return "This is a test message from Gradwatch. Nothing is wrong."
    if message.kind == "digest":
        return "Much happened at once, so this message sums it up."
    return ""


def _item(subject: Subject, message: Message) -> Item:
    if not subject.is_firing:
        return Item(f"RESOLVED: {line(subject.title, TITLE_MAX)}", _ended(subject, message))
    again = " It was over before, and is back." if subject.regressed else ""
    cause = f"{cause_in_words(subject.cause)} (confidence {subject.confidence:.0%})."
    return Item(
        f"{subject.severity.label.upper()}: {line(subject.title, TITLE_MAX)}",
        (
            ("Where", _where(subject, message)),
            ("Since", f"step {subject.opened_step}, {moment(subject.opened_at)}.{again}"),
            ("Why", line(f"{cause} {subject.explanation}", EXPLANATION_MAX)),
        ),
        tuple(line(remedy, REMEDY_MAX) for remedy in subject.remedies[:REMEDIES_SHOWN]),
    )


def _in_short(subject: Subject) -> Item:
    state = subject.severity.label.upper() if subject.is_firing else "RESOLVED"
    heading = f"{state}: {name(subject.run_name)}: {line(subject.title, TITLE_MAX)}"
    return Item(heading, ())


def _ended(subject: Subject, message: Message) -> tuple[tuple[str, str], ...]:
    end = "" if subject.ended_at is None else f", {moment(subject.ended_at)}"
    return (
        ("Where", _where(subject, message)),
        ("Lasted", f"from step {subject.opened_step} to step {subject.last_step}{end}."),
        ("It was", f"{cause_in_words(subject.cause)}."),
    )


def _where(subject: Subject, message: Message) -> str:
    layers = f"{layers_in_words(subject.layers)}; " if subject.layers else ""
    run = f"run {name(subject.run_name)} of project {name(message.project)}"
    now = f", now at step {subject.last_step}" if subject.is_firing else ""
    return f"{layers}{run}{now}."


def layers_in_words(layers: Sequence[str]) -> str:
    """The first few of them by name, the others counted."""
    shown = ", ".join(name(layer) for layer in layers[:LAYERS_SHOWN])
    left = len(layers) - LAYERS_SHOWN
    return f"{'layer' if len(layers) == 1 else 'layers'} {shown}{f' and {left} more' * (left > 0)}"


def name(text: str) -> str:
    """The name of a run, a project or a layer, as long as a sentence can bear it."""
    return line(text, NAME_MAX)


def moment(at: dt.datetime) -> str:
    """A time for people."""
    return at.astimezone(dt.UTC).strftime("%-d %b %Y %H:%M UTC")


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _lines(words: Words, escape: Escape) -> Iterator[str]:
    yield escape(words.title)
    if words.intro:
        yield escape(words.intro)
    for item in words.items:
        if item.heading:
            yield f"\n{escape(item.heading)}"
        yield from (f"{question}: {escape(answer)}" for question, answer in item.facts)
        if item.steps:
            yield "What to do:"
        yield from (f"{number}. {escape(step)}" for number, step in enumerate(item.steps, 1))
    if words.outro:
        yield words.outro
    if words.link:
        yield f"\n{words.link}"
