"""What a group's changes amount to for a run: alerts joined from their parts, health, advice."""

from __future__ import annotations

import logging
from dataclasses import replace

from gradwatch_service.ingest.fold import Fold
from gradwatch_service.ingest.judge import Failure
from gradwatch_service.ingest.ledger import Ledger
from gradwatch_service.ingest.outcomes import outcome_of
from gradwatch_service.ingest.run_view import RunDraft, RunView
from gradwatch_service.store.alerts import Incident, Kept
from gradwatch_service.store.heads import Head

log = logging.getLogger(__name__)


def conclude(run: RunDraft, fold: Fold, ledger: Ledger) -> RunView:
    """The run after this group; changed alerts go to the ledger."""
    if not run.concludes:
        return run.view
    alerts = dict(run.view.alerts)
    for cause in sorted(run.changed.keys() | run.view.outdated):
        parts = run.parts_of(cause)
        alert = outcome_of(fold.join, run.run_id, parts)
        if isinstance(alert, Exception):
            degrade(run, Failure.of(alert))
            continue
        opened_at = alerts[cause].opened_at if cause in alerts else ledger.now
        project, writers = run.view.head.project, tuple(sorted(parts))
        incident = Incident(alert, project, writers, opened_at, ledger.now)
        ledger.incidents.append(incident)
        alerts[cause] = Kept(incident.as_json(), opened_at)
    return RunView.of(_head_after(run), run.contributions(), alerts, run.ranks)


def degrade(run: RunDraft, failure: Failure) -> None:
    """Note, once, how judgement failed on this run; its data is stored all the same."""
    if failure.text not in {run.view.head.degraded, run.degraded}:
        log.error("judgement failed on run %s\n%s", run.run_id, failure.trace)
        run.degraded = failure.text


def verdict_row(before: RunView, after: RunView) -> dict[str, object]:
    """What ``store.heads.note_verdicts`` writes."""
    return {
        "run": after.head.run_id,
        "seen": before.head.version,
        "health": after.health,
        "open_alerts": after.open_alerts,
        "degraded": after.head.degraded,
        "layers_hash": after.head.layers_hash,
        "layers_count": after.head.layers_count,
    }


def _head_after(run: RunDraft) -> Head:
    head = replace(run.view.head, version=run.view.head.version + 1)
    if run.degraded is not None:
        head = replace(head, degraded=run.degraded)
    if run.extended is not None:
        head = replace(head, layers_hash=run.extended.hash, layers_count=len(run.extended))
    return head
