"""What is stored but still waits to be judged is judged, because there is time or somebody asks."""

from __future__ import annotations

from gradwatch_service.ingest.group import Group
from gradwatch_service.ingest.pushes import Judgement
from gradwatch_service.store import writers


def place_judgement(group: Group, wanted: Judgement) -> None:
    """Judge all that waits in the streams of a run.

    Raises:
        NotFound: there is no such run.
    """
    run = group.run(wanted.run_id)
    table = group.sources.table(run.view.head, run.view.head.layers_hash)
    stored = writers.unjudged(group.sources.connection, run.run_id)
    for writer in sorted({*stored, *run.streams}):
        group.stream(run, writer, table)
        run.urgent[writer] = None
