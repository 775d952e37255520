"""Joining the parts of a run's writers: whatever the order, the same alert."""

import itertools
import uuid
from dataclasses import replace
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from gradwatch_service.diagnose.merge import Alert, join
from gradwatch_service.domain import AlertPart, AlertState, JsonValue, Severity, alert_id
from tests.service.diagnose.faults import data_outlier
from tests.service.diagnose.streams import tell

RUN = uuid.UUID("01890000-0000-7000-8000-000000000001")
PART = tell(data_outlier()).parts["data-outlier"]


def part(
    state: AlertState = "firing", severity: Severity = Severity.ERROR, opened: int = 10
) -> AlertPart:
    return replace(
        PART,
        state=state,
        severity=severity,
        opened_step=opened,
        last_step=opened + 5,
        resolved_step=opened + 9 if state == "resolved" else None,
        title=f"{state} {severity.label} {opened}",
    )


PARTS = st.dictionaries(
    st.sampled_from(["a", "b", "c", "d"]),
    st.builds(
        part,
        st.sampled_from(["pending", "firing", "resolved"]),
        st.sampled_from(list(Severity)),
        st.integers(0, 3),
    ),
    min_size=1,
)


@given(PARTS)
def test_the_order_of_the_writers_does_not_matter(parts: dict[str, AlertPart]) -> None:
    orders = itertools.permutations(parts.items())
    alerts = {repr(join(RUN, dict(order))) for order in orders}
    assert len(alerts) == 1


@given(PARTS)
def test_steps_span_all_writers(parts: dict[str, AlertPart]) -> None:
    alert = join(RUN, parts)
    assert alert.opened_step == min(x.opened_step for x in parts.values())
    assert alert.last_step == max(x.last_step for x in parts.values())


def test_one_writer_gives_its_own_part_and_a_stable_id() -> None:
    alert = join(RUN, {"rank0": PART})
    assert alert.id == alert_id(RUN, "data-outlier")
    shared = set(AlertPart.__slots__) - {"since_step"}
    assert {name: getattr(alert, name) for name in shared} == {
        name: getattr(PART, name) for name in shared
    }


def test_firing_wins_over_pending_over_resolved() -> None:
    assert join(RUN, {"a": part("resolved"), "b": part("pending")}).state == "pending"
    both = {"a": part("pending"), "b": part("firing"), "c": part("resolved")}
    assert join(RUN, both).state == "firing"
    assert join(RUN, both).resolved_step is None


def test_all_resolved_is_resolved_with_the_last_of_them() -> None:
    alert = join(RUN, {"a": part("resolved", opened=10), "b": part("resolved", opened=30)})
    assert (alert.state, alert.resolved_step) == ("resolved", 39)


def test_the_worst_then_earliest_then_first_writer_speaks() -> None:
    worst = {"a": part(severity=Severity.WARNING), "b": part(opened=20), "c": part(opened=15)}
    assert join(RUN, worst).title == "firing error 15"
    alike = {"z": replace(part(), title="z"), "y": replace(part(), title="y")}
    assert join(RUN, alike).title == "y"


def test_a_resolved_writer_does_not_speak_for_one_that_fires() -> None:
    alert = join(
        RUN,
        {"a": part("resolved", Severity.CRITICAL), "b": part("firing", Severity.WARNING, 40)},
    )
    assert (alert.severity, alert.title) == (Severity.WARNING, "firing warning 40")


def test_one_actionable_writer_makes_the_alert_actionable() -> None:
    assert not join(RUN, {"a": part(), "b": part()}).actionable
    assert join(RUN, {"a": part(), "b": replace(part(), actionable=True)}).actionable


def test_the_wire_form_has_every_field_of_the_api() -> None:
    body = join(RUN, {"a": PART}).as_json()
    assert set(body) == set(Alert.__slots__)
    assert (body["severity"], body["run_id"]) == ("info", str(RUN))
    advice = cast(list[dict[str, JsonValue]], body["advice"])
    assert advice[0]["alert_id"] == body["id"] == str(alert_id(RUN, "data-outlier"))
    assert advice[0]["class"] == 1
    assert advice[0]["id"] == str(uuid.uuid5(alert_id(RUN, "data-outlier"), "skip_step"))
    assert advice[0]["severity"] == "info"
    (cause,) = cast(list[dict[str, JsonValue]], body["causes"])
    assert cause == {
        "cause": "data-outlier",
        "title": "A bad batch",
        "confidence": 0.95,
        "evidence": [
            {
                "name": "out-of-the-blue",
                "text": "loss and gradient jumped at once out of the blue at step 200",
                "weight": 4.0,
            },
            {
                "name": "isolated",
                "text": "at most 3 of the last 16 reports are out of range, "
                "with no lasting fault around",
                "weight": 3.0,
            },
            {
                "name": "loss-jumps-too",
                "text": "the loss jumps in the same step (robust z 13.1)",
                "weight": 2.0,
            },
        ],
        "against": [],
    }


def test_advice_tried_before_has_an_id_of_its_own() -> None:
    advice = replace(PART.advice[0], round=2)
    again = advice.as_json(alert_id(RUN, "data-outlier"), Severity.ERROR)
    assert again["id"] == str(uuid.uuid5(alert_id(RUN, "data-outlier"), "skip_step:2"))
    assert again["severity"] == "error"
