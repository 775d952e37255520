"""What the worker saw is written into the log like a push, if it is still news."""

from __future__ import annotations

from gradwatch_service.detect.rules.stale_run import StaleRun
from gradwatch_service.domain import LayerTable, Severity
from gradwatch_service.ingest import own
from gradwatch_service.ingest.group import Group
from gradwatch_service.ingest.placed import Placed
from gradwatch_service.ingest.run_view import RunDraft
from gradwatch_service.ingest.silence import stalled
from gradwatch_service.store.silence import Silence


def place_silence(group: Group, silence: Silence) -> Placed:
    """Note that a run is silent, or no longer.

    Raises:
        NotFound: there is no such run.
    """
    run = group.run(silence.run_id)
    causes: set[str] = set()
    if _is_news(run, silence):
        run.silence = silence if silence.seconds else None
        causes = group.observe(run, silence.seconds, silence.patience)
    stream = group.stream(run, own.name(own.SILENCE, run.view.head.attempt), LayerTable())
    return Placed(
        run,
        stream,
        accepted=len(causes),
        duplicates=0,
        position=stream.position,
        is_new=bool(causes),
        causes=frozenset(causes),
    )


def _is_news(run: RunDraft, silence: Silence) -> bool:
    head, known = run.view.head, stalled(run)
    if not silence.seconds:
        return known is not None
    if run.pushes or (head.pushes, head.last_seen_at) != (silence.pushes, silence.since):
        return False
    if known is None:
        return head.state == "running"
    worse = silence.seconds > StaleRun().critical_factor * silence.patience
    return worse and known.severity < Severity.CRITICAL
