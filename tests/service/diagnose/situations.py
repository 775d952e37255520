"""Single situations for tests of one sign or one action: calm unless told otherwise."""

from typing import Any

from gradwatch_service.diagnose.situation import Held, Situation
from gradwatch_service.domain import Evidence, Facts, LayerTable, Severity
from tests.service.diagnose.streams import mlp

CALM: dict[str, Any] = {
    "ordinal": 500,
    "step": 500,
    "increment": 1,
    "facts": Facts(),
    "layers": mlp(),
    "normal": 1.0,
}


def held(
    rule: str,
    severity: Severity = Severity.WARNING,
    *,
    opened: int = 500,
    ended: int | None = None,
    facts: tuple[Evidence, ...] | None = None,
    layers: tuple[str, ...] = (),
) -> Held:
    """A finding of a rule; by default with one fact of the rule's own name."""
    own = (Evidence(rule, f"{rule} was seen", opened),) if facts is None else facts
    return Held(rule, severity, opened, opened, own, layers, ended)


def situation(*findings: Held, layers: LayerTable | None = None, **known: Any) -> Situation:
    """A situation with these findings, in the scope of all of them."""
    facts = CALM | known | ({} if layers is None else {"layers": layers})
    rules = {one.rule: one for one in findings}
    return Situation(held=rules, scope=frozenset(rules), **facts)
