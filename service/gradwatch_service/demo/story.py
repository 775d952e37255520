"""``gradwatch demo``: starts the service, runs the two jobs, tells what happened and checks it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import make_url

from gradwatch_service.demo import narrative
from gradwatch_service.demo.curves import Scale
from gradwatch_service.demo.job import Course, Run, Settings, start, train
from gradwatch_service.demo.outcome import Claim, claims, fate_of
from gradwatch_service.demo.policy import ALONE, Policy, guided
from gradwatch_service.demo.server import NotStartedError, serving

DONE, FAILED = 0, 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; 0 if everything it claims is so."""
    parser = argparse.ArgumentParser(
        prog="gradwatch demo",
        description="One training job explodes, the same one with help survives.",
    )
    parser.add_argument("--database-url", default="sqlite:///gradwatch.db")
    database_url: str = parser.parse_args(argv).database_url
    try:
        with serving(database_url) as url:
            shown = make_url(database_url).render_as_string(hide_password=True)
            found = _perform(Settings(), url, shown)
    except NotStartedError as error:
        sys.stderr.write(f"gradwatch: {error}\n")
        return FAILED
    broken = [claim.text for claim in found if not claim.holds]
    if broken:
        sys.stderr.write(f"gradwatch: the demo did not show this: {' '.join(broken)}\n")
    return FAILED if broken else DONE


def _perform(settings: Settings, url: str, database_url: str) -> list[Claim]:
    """Train both jobs and tell about them; returns what the demo claims."""
    tell(narrative.opening(settings, url, database_url))
    runs = {
        "A": start(settings, "without help", url),
        "B": start(settings, "with the guard", url),
    }
    alone = _run(settings, runs["A"], ALONE)
    helped = _run(settings, runs["B"], guided(runs["B"]))
    fate = fate_of(alone)
    scales = (Scale.of(alone.loss, helped.loss), Scale.of(alone.grad_norm, helped.grad_norm))
    tell(narrative.unguarded(alone, fate, scales))
    if fate.alert is not None:
        tell(narrative.warning(fate.alert, fate))
    tell(narrative.guarded(helped, fate, scales))
    tell(narrative.ledger({job: read_alerts(url, run.id) for job, run in runs.items()}))
    found = claims(fate, helped, settings.steps)
    tell(narrative.checks(found))
    tell(narrative.pointers(_command(), database_url, {job: run.id for job, run in runs.items()}))
    return found


def _run(settings: Settings, run: Run, policy: Policy) -> Course:
    course = train(settings, run, policy)
    survived = len(course.loss) == settings.steps
    run.flush()
    run.finish("finished" if survived else "failed", None if survived else "the loss is no number")
    return course


def read_alerts(url: str, run_id: str) -> list[dict[str, Any]]:
    """The alerts of a run, the first one first, as anybody can read them."""
    answer = httpx.get(f"{url}/api/v1/alerts", params={"run": run_id}, trust_env=False, timeout=30)
    answer.raise_for_status()
    return sorted(answer.json()["items"], key=lambda alert: int(alert["opened_step"]))


def _command() -> str:
    """How to call gradwatch from here: the program beside this Python."""
    return os.path.relpath(Path(sys.executable).parent / "gradwatch")


def tell(lines: Iterable[str]) -> None:
    """Write lines at once, so that the story can be followed while it happens."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
