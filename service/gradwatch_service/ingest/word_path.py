"""What somebody says of an alert: it is acknowledged, or resolved, as far as it is known."""

from __future__ import annotations

from gradwatch_service.diagnose.acts import Act, Standing, reached
from gradwatch_service.errors import Conflict, NotFound
from gradwatch_service.ingest.conclusion import stands
from gradwatch_service.ingest.group import Group
from gradwatch_service.ingest.pushes import Word
from gradwatch_service.ingest.run_view import RunDraft


def place_word(group: Group, word: Word) -> None:
    """Take note of it; nothing if the alert stands so already.

    Raises:
        NotFound: there is no such alert.
        Conflict: only what fires can be acknowledged.
    """
    run = group.run(word.run_id)
    cause = _cause(run, word)
    now = stands(run, group.sources.fold, cause)
    if not _is_new(word, now):
        return
    before = run.act_on(word.alert_id)
    act = Act(
        number=1 if before is None else before.number + 1,
        kind=word.kind,
        place=reached(run.spans_of(cause)),
        severity=now.alert.severity,
        by=word.by,
        comment=word.comment,
        at=group.ledger.now,
    )
    run.acts[word.alert_id] = act
    run.reviewed = True
    group.ledger.acts.append((run.run_id, word.alert_id, act))


def _cause(run: RunDraft, word: Word) -> str:
    known = run.view.alerts.items()
    found = next((cause for cause, kept in known if kept.body["id"] == str(word.alert_id)), None)
    if found is None:
        raise NotFound(f"no alert {word.alert_id}")
    return found


def _is_new(word: Word, now: Standing) -> bool:
    state = now.alert.state
    if word.kind == "resolved":
        return state != "resolved"
    if state == "resolved":
        raise Conflict("the alert is resolved: there is nothing left to acknowledge")
    if state == "pending":
        raise Conflict("the alert is pending: nobody was told of it yet, and it may go by itself")
    return state != "acknowledged" or (now.by, now.comment) != (word.by, word.comment)
