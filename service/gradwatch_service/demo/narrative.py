"""Tells the story of the demo in plain text of at most 100 columns; pure: facts in, lines out."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence

from gradwatch_service.demo.curves import Scale, sparkline
from gradwatch_service.demo.job import FLUSH_STEPS, Course, Heard, Settings
from gradwatch_service.demo.outcome import Claim, Fate, final_level
from gradwatch_service.demo.policy import Advice, Alert

COLUMNS = 98
REMEDIES, FACTS = 4, 3


def heading(text: str) -> list[str]:
    """A section heading with air before it."""
    return ["", text, "-" * len(text)]


def opening(settings: Settings, url: str, database_url: str) -> list[str]:
    """What is about to happen."""
    interest = settings.task.growth - 1
    return [
        "Gradwatch demo: one training job, run twice. Nothing is staged, the numbers are live.",
        "",
        *_wrapped(
            f"The job: a recurrent network with {settings.hidden} units reads "
            f"{settings.task.length} deposits and withdrawals and has to say what the savings "
            f"account holds at {interest:.0%} interest a period. It is trained by "
            f"back-propagation through time for {settings.steps} steps, and makes three common "
            "mistakes: the recurrent matrix starts a little over 1, the warm-up raises the "
            "learning rate too far, and nothing limits the gradient."
        ),
        *_wrapped(f"The service: {url}, in a process of its own; data in {database_url}."),
        *_wrapped(
            "So small a net steps much faster than a real one, so it waits for the service every "
            f"{FLUSH_STEPS} steps. Both jobs are training now."
        ),
    ]


def unguarded(course: Course, fate: Fate, scale: tuple[Scale, Scale]) -> list[str]:
    """The job that reports and ignores the answers."""
    lines = [
        f"It learned: the loss fell from {course.loss[0]:.3g} to {fate.best:.3g} "
        f"by step {fate.best_step} (median of 16 steps)."
    ]
    if fate.ruin_step is not None:
        lines.append(f"It was ruined at step {fate.ruin_step}: the loss rose and never came back.")
    if fate.nonfinite_step is not None:
        lines.append(f"From step {fate.nonfinite_step} on the loss is no number any more.")
    return [
        *heading("Job A: reports to Gradwatch, ignores what it answers"),
        *lines,
        *_pictures(course, scale),
    ]


def guarded(course: Course, fate: Fate, scale: tuple[Scale, Scale]) -> list[str]:
    """The job that does what Gradwatch says."""
    final = final_level(course)
    times = f", {fate.best / final:.1f} times better" if 0 < final < fate.best else ""
    return [
        *heading("Job B: same seed, applies the guard and advice up to class 2"),
        f"The guard clipped {len(course.clipped)} of {len(course.loss)} gradients and skipped "
        f"{len(course.skipped)} updates.",
        *(f"Advice followed from step {step} on: {title}." for step, title in course.applied),
        f"Final loss {final:.3g}; the best of job A was {fate.best:.3g}{times}.",
        *_pictures(course, scale),
    ]


def warning(heard: Heard, fate: Fate) -> list[str]:
    """The alert in full, as the job first heard of it."""
    alert, lead = heard.alert, fate.lead_steps
    ahead = "" if lead is None else f", {lead} steps before it was ruined"
    return [
        *heading(f"What Gradwatch told job A at step {heard.step}{ahead}"),
        f"[{str(alert['severity']).upper()}] {alert['title']}",
        *_fields(alert),
        *_wrapped(str(alert["explanation"]), "  why         "),
        *_evidence(alert),
        *_remedies(alert["advice"][:REMEDIES]),
    ]


def ledger(alerts: Mapping[str, Sequence[Alert]]) -> list[str]:
    """What the public API holds about both jobs now; job -> its alerts."""
    lines = heading("Read back over the public API")
    for job, found in alerts.items():
        states = [
            f"{alert['cause']}: {alert['state']}, steps {alert['opened_step']} to "
            f"{alert['last_step']}, {alert['severity']}"
            for alert in found
        ]
        lines += _wrapped("; ".join(states) or "no alerts", f"  job {job}  ")
    return lines


def checks(found: Iterable[Claim]) -> list[str]:
    """Whether the demo kept its promises."""
    marks = {True: "yes", False: "NO "}
    return [*heading("Checked"), *(f"  {marks[claim.holds]}  {claim.text}" for claim in found)]


def pointers(command: str, database_url: str, runs: Mapping[str, str]) -> list[str]:
    """Where to look next; job -> id of its run."""
    return [
        *heading("Look around"),
        f"  {command} serve --database-url {database_url}",
        "                    starts the service on this data again; in the checkout: make serve",
        f"  http://127.0.0.1:8321/runs/{runs['A']}",
        "                    then shows what happened to job A, where and why",
        f"  {command} runs",
        f"  {command} alerts --run {runs['A']}",
        f"  A={runs['A']} API=http://127.0.0.1:8321/api/v1",
        '  curl -s "$API/alerts?run=$A"',
        '  curl -s "$API/runs/$A/advice"',
        '  curl -s "$API/runs/$A/series?metric=grad_norm&points=100"',
    ]


def _fields(alert: Alert) -> list[str]:
    first, *others = alert["layers"] or ["-"]
    also = f", then {', '.join(others)}" if others else ""
    return [
        f"  rule        {alert['rule']}",
        f"  step        {alert['opened_step']}",
        f"  layer       {first}{also}",
        f"  cause       {alert['cause']}, confidence {alert['confidence']:.0%}",
    ]


def _evidence(alert: Alert) -> list[str]:
    facts = list(dict.fromkeys(str(fact["text"]) for fact in alert["evidence"]))[:FACTS]
    return [line for fact in facts for line in _wrapped(fact, "  evidence    ")]


def _remedies(advice: Iterable[Advice]) -> list[str]:
    lines = [
        "  what to do  (class 1: the guard does it, 2: the job if allowed to, 3 and 4: a person)"
    ]
    for number, one in enumerate(advice, 1):
        lines.append(f"  {number}. {one['title']}  (class {one['class']})")
        lines += _wrapped(str(one["text"]), "     ")
    return lines


def _pictures(course: Course, scale: tuple[Scale, Scale]) -> list[str]:
    return [
        f"  log loss           |{sparkline(course.loss, scale[0])}|",
        f"  log gradient norm  |{sparkline(course.grad_norm, scale[1])}|",
    ]


def _wrapped(text: str, label: str = "") -> list[str]:
    """The text in lines; the first after ``label``, the others indented as far."""
    lines = textwrap.wrap(
        text,
        COLUMNS,
        initial_indent=label,
        subsequent_indent=" " * len(label),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines or [label.rstrip()]
