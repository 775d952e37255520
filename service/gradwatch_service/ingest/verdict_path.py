"""What the judge has found is taken over, if the stream is still where the judge saw it."""

from __future__ import annotations

import logging

from gradwatch_service.ingest.group import Group
from gradwatch_service.ingest.pushes import Verdict

log = logging.getLogger(__name__)


def place_verdict(group: Group, verdict: Verdict) -> None:
    """Take over how reports of a stream were judged; nothing if that is known by now.

    Raises:
        NotFound: there is no such run.
    """
    if isinstance(verdict.judged, Exception):
        log.error("judging failed on run %s", verdict.run_id, exc_info=verdict.judged)
        return
    run = group.run(verdict.run_id)
    stream = group.remembered(run, verdict.writer)
    if stream is not None and stream.state is verdict.base:
        group.apply(run, stream, verdict.reports, verdict.judged)
