"""An alert is judged anew when the situation changes, not only when its own findings do."""

from dataclasses import replace
from typing import Any

from gradwatch_service.diagnose.blow import Blow
from gradwatch_service.diagnose.cases import Cases, Moment, settle, trouble_since
from gradwatch_service.diagnose.fusion import cover
from gradwatch_service.diagnose.situation import Held
from gradwatch_service.domain import AlertEvent, Severity
from tests.service.diagnose.situations import held, situation


def judged(
    cases: Cases, *findings: Held, changed: str = "", at: int = 500, **known: Any
) -> tuple[Cases, tuple[AlertEvent, ...]]:
    """The alerts once these findings hold, of which ``changed`` is new."""
    live = {cause: case.mover for cause, case in cases.items() if case.live}
    moment = Moment(at, at, frozenset({changed} - {""}), {})
    return settle(cases, cover(situation(*findings, step=at, ordinal=at, **known), live), moment)


SPIKE = held("gradient-spike", Severity.WARNING)
DIVERGES = held("loss-divergence", opened=470)
TIGHT = held("clip-saturation")


def test_an_alert_becomes_actionable_when_another_rule_joins_it() -> None:
    alone, _ = judged({}, DIVERGES, changed="loss-divergence")
    assert not alone["learning-rate-too-high"].part.actionable
    restless = held("instability-onset", Severity.ERROR)
    joined, events = judged(alone, DIVERGES, restless, changed="instability-onset")
    assert joined["learning-rate-too-high"].part.actionable
    assert [one.kind for one in events] == ["firing"]
    firing = replace(alone["learning-rate-too-high"].part, state="firing")
    fired = {"learning-rate-too-high": replace(alone["learning-rate-too-high"], part=firing)}
    _, events = judged(fired, DIVERGES, restless, changed="instability-onset")
    assert [(one.kind, one.text.partition(": ")[2]) for one in events] == [
        ("worsened", "now error, needs a person now")
    ]


def test_an_alert_becomes_actionable_though_none_of_its_findings_changed() -> None:
    begun, _ = judged({}, DIVERGES, changed="loss-divergence")
    later, events = judged(begun, DIVERGES, changed="elsewhere", at=510, uw=0.06)
    part = later["learning-rate-too-high"].part
    assert (part.actionable, part.confidence, part.state) == (True, 0.95, "firing")
    assert [one.kind for one in events] == ["firing"]


def test_a_pending_alert_fires_once_it_calls_a_person() -> None:
    growth = held("gradient-growth")
    pending, events = judged({}, growth, changed="gradient-growth")
    (cause,) = pending
    assert [one.kind for one in events] == ["pending"]
    assert (cause, pending[cause].due) == ("clip-missing-or-loose", 508)
    firing, events = judged(pending, growth, uw=0.06, changed="gradient-growth")
    kinds = {(one.cause, one.kind) for one in events}
    assert ("learning-rate-too-high", "firing") in kinds
    assert not firing[cause].live


def test_an_alert_on_which_nothing_bears_stays_as_it_is() -> None:
    before, _ = judged({}, TIGHT, changed="clip-saturation")
    after, events = judged(before, TIGHT, held("slow-run"), changed="slow-run", at=510)
    assert after["clip-too-tight"] == before["clip-too-tight"]
    assert [one.cause for one in events] == ["stalled-job"]


def test_the_earliest_live_warning_is_the_beginning_of_the_trouble() -> None:
    assert trouble_since({}) is None
    cases, _ = judged({}, TIGHT, DIVERGES, held("loss-plateau", Severity.INFO, opened=3))
    assert trouble_since(cases) == 3
    cases, _ = judged({}, TIGHT, DIVERGES)
    assert trouble_since(cases) == 470
    information, _ = judged({}, held("update-ratio-low", Severity.INFO))
    assert trouble_since(information) is None


def test_an_alert_names_its_runner_up_with_what_speaks_for_and_against_both() -> None:
    cases, _ = judged({}, held("loss-divergence"), held("gradient-spike"), shifted=True)
    first, second = cases["distribution-shift"].part.causes
    assert (first.cause, [fact.name for fact in first.evidence]) == (
        "distribution-shift",
        ["new-level"],
    )
    assert (second.cause, second.confidence) == ("learning-rate-too-high", 0.5)


def test_what_speaks_against_a_cause_stands_apart() -> None:
    spike = held("gradient-spike", Severity.INFO)
    without_loss = Blow(500, 500, 500, peak=0, loss=None)
    cases, _ = judged({}, spike, high_reports=1, blow=without_loss)
    outlier = cases["data-outlier"].part.causes[0]
    assert [(fact.name, fact.weight) for fact in outlier.evidence] == [("isolated", 3.0)]
    assert [(fact.name, fact.weight) for fact in outlier.against] == [("sudden", -2.0)]
