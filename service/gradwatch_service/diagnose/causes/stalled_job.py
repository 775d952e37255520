"""stalled-job: the job reports much later than it used to, or no more at all."""

from __future__ import annotations

from gradwatch_service.diagnose.actions.job import check_job
from gradwatch_service.diagnose.cause import Cause, Sign
from gradwatch_service.diagnose.proposal import Proposal
from gradwatch_service.diagnose.signs import told_by
from gradwatch_service.diagnose.situation import Situation


def _explain(s: Situation) -> str:
    what = "has not reported" if s.sees("stale-run") else "has been reporting far more slowly"
    return (
        f"The job {what} since step {s.onset_step}, compared with its own pace until then. It may "
        "have been killed, wait in a collective for a rank that is elsewhere, or wait for data, "
        "disk or network. The service cannot see which: nothing arrives that would tell. The "
        "stacks of its processes do."
    )


def _advise(s: Situation) -> tuple[Proposal, ...]:
    return (check_job(s),)


CAUSE = Cause(
    id="stalled-job",
    title="Stalled job",
    headline="The job stands still or slows down",
    order=80,
    explains=frozenset({"slow-run", "stale-run"}),
    signs=(
        Sign("silent", 3, told_by("stale-run")),
        Sign("slow", 3, told_by("slow-run")),
    ),
    explain=_explain,
    advise=_advise,
    names_layer=False,
)
