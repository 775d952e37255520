"""What a group's changes amount to for a run: alerts joined from their parts, health, advice."""

from __future__ import annotations

import logging
from dataclasses import replace

from gradwatch_service.diagnose.acts import Standing, standing
from gradwatch_service.ingest.fold import Fold
from gradwatch_service.ingest.judge import Failure
from gradwatch_service.ingest.ledger import Ledger
from gradwatch_service.ingest.outcomes import outcome_of
from gradwatch_service.ingest.run_view import RunDraft, RunView
from gradwatch_service.store.advice import has_ended
from gradwatch_service.store.alerts import Incident, Kept
from gradwatch_service.store.heads import Head
from gradwatch_service.store.outbox import Change, is_news

log = logging.getLogger(__name__)


def conclude(run: RunDraft, fold: Fold, ledger: Ledger) -> RunView:
    """The run after this group; changed alerts go to the ledger."""
    if not run.concludes:
        return run.view
    alerts = dict(run.view.alerts)
    for cause in sorted(run.news):
        found = outcome_of(stands, run, fold, cause)
        if isinstance(found, Exception):
            degrade(run, Failure.of(found))
            continue
        alerts[cause] = _noted(run, cause, found, ledger)
    acts = {**run.view.acts, **run.acts}
    handed = {key: wish for key, wish in run.view.handed.items() if key not in run.answered}
    return RunView.of(_head_after(run), run.contributions(), alerts, run.ranks, acts, handed)


def stands(run: RunDraft, fold: Fold, cause: str) -> Standing:
    """How an alert stands now: joined from its parts, under what people did about it."""
    alert = fold.join(run.run_id, run.parts_of(cause))
    ended = has_ended(run.view.head.state, alert.severity)
    return standing(alert, run.spans_of(cause), run.act_on(alert.id), ended=ended)


def _noted(run: RunDraft, cause: str, found: Standing, ledger: Ledger) -> Kept:
    """The alert as it is stored after this group; written only if it says something else."""
    before, head = run.view.alerts.get(cause), run.view.head
    opened_at = ledger.now if before is None else before.opened_at
    writers = tuple(sorted(run.contributions()[cause]))
    incident = Incident(found, head.project, writers, opened_at, ledger.now)
    if before is not None and before.says(incident.body):
        if before.last_step == found.alert.last_step:
            return before
        ledger.moved.append(incident)
        return Kept(incident.body, opened_at)
    ledger.incidents.append(incident)
    if is_news(None if before is None else before.body, incident.body):
        change = Change(run.run_id, found.alert.id, head.project, head.version + 1)
        ledger.changes.append(change)
    return Kept(incident.body, opened_at)


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
