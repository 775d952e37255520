"""What the worker saw is written into the log like a push, if it is still news."""

from __future__ import annotations

from gradwatch_service.detect.rules.stale_run import StaleRun
from gradwatch_service.domain import Severity
from gradwatch_service.ingest.group import Group
from gradwatch_service.ingest.placed import Placed
from gradwatch_service.ingest.run_view import RunDraft
from gradwatch_service.ingest.silence import stalled
from gradwatch_service.store.silence import ENDED, Silence


def place_silence(group: Group, silence: Silence) -> Placed:
    """Note that a run is silent, or no longer.

    Raises:
        NotFound: there is no such run.
    """
    run = group.run(silence.run_id)
    is_news = _is_news(run, silence)
    stream = group.silence(run)
    run.reviewed |= run.view.head.state in ENDED
    if is_news:
        run.silence = silence if silence.seconds else None
        group.observe(run, silence.seconds, silence.patience)
    return Placed(
        run, stream, accepted=int(is_news), duplicates=0, position=stream.position, is_new=is_news
    )


def _is_news(run: RunDraft, silence: Silence) -> bool:
    head, known = run.view.head, stalled(run)
    if not silence.seconds:
        return known is not None
    if run.pushes or run.silence is not None:
        return False
    if (head.pushes, head.last_seen_at) != (silence.pushes, silence.since):
        return False
    if known is None:
        return head.state == "running"
    worse = silence.seconds > StaleRun().critical_factor * silence.patience
    return worse and known.severity < Severity.CRITICAL
