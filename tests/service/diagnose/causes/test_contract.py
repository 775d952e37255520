"""What every cause must be, whichever file it comes in."""

import math
from dataclasses import replace

import pytest

from gradwatch_service.detect.rules import catalogue as rules
from gradwatch_service.diagnose.cause import Cause
from gradwatch_service.diagnose.causes import catalogue
from gradwatch_service.diagnose.rates import Jump, Rates
from gradwatch_service.diagnose.situation import Mover, Situation
from gradwatch_service.domain import Evidence, Facts, Guard, JsonValue
from tests.service.diagnose.faults import FAULTS, RNN
from tests.service.diagnose.situations import held, situation
from tests.service.diagnose.streams import healthy, tell

CATALOGUE = {cause.id: cause for cause in catalogue()}
RULES = {rule.id for rule in rules()}
NEVER_SURE = {"plateau"}  # the net may have learnt all there is
FRAMEWORKS = ("", "pytorch", "numpy", "keras")


def everything(framework: str) -> Situation:
    """A situation in which every rule holds and every number is known."""
    facts = {rule: (Evidence(rule, f"{rule} was seen", 500, 1.0, 1.0),) for rule in RULES}
    return situation(
        *(held(rule, facts=facts[rule], layers=("W_hh",)) for rule in sorted(RULES)),
        layers=RNN,
        facts=Facts(optimizer="adamw", framework=framework, beta2=0.95),
        rates=Rates(first=0.1, peak=0.4, jump=Jump(490, 490, 0.1, 0.4)),
        guard=Guard(1.5, 40.0, expires_step=900),
        mover=Mover("W_hh", "recurrent", 0.9, True),
        uw=0.03,
        uw_rise=3.0,
        largest=100.0,
        loss_scale=1024.0,
        beta=0.25,
        gains={"W_hh": 0.5, "W_xh": 3.0},
    )


def nothing(framework: str) -> Situation:
    """A situation of which nothing is known."""
    unknown = situation(facts=Facts(framework=framework))
    return replace(unknown, normal=None, layers=type(unknown.layers)())


def numbers(value: JsonValue) -> list[float]:
    if isinstance(value, float | int):
        return [float(value)]
    if isinstance(value, list | tuple):
        return [number for item in value for number in numbers(item)]
    if isinstance(value, dict):
        return [number for item in value.values() for number in numbers(item)]
    return []


def test_there_is_a_fault_to_test_every_cause_with() -> None:
    assert set(FAULTS) == set(CATALOGUE)


def test_every_rule_is_explained() -> None:
    explained = frozenset.union(*(cause.explains for cause in CATALOGUE.values()))
    assert explained == RULES


def test_the_order_of_equal_scores_is_fixed() -> None:
    assert len({cause.order for cause in CATALOGUE.values()}) == len(CATALOGUE)


@pytest.mark.parametrize("cause", CATALOGUE.values(), ids=list(CATALOGUE))
def test_a_cause_is_described_and_explains_a_rule(cause: Cause) -> None:
    module = __import__(
        f"gradwatch_service.diagnose.causes.{cause.id.replace('-', '_')}", fromlist=["CAUSE"]
    )
    assert module.CAUSE is cause
    assert str(module.__doc__).startswith(f"{cause.id}: ")
    assert cause.explains
    assert all((cause.title, cause.headline))
    assert len({sign.name for sign in cause.signs}) == len(cause.signs)
    weights = [sign.weight for sign in cause.signs if sign.weight > 0]
    assert sum(weights) >= (2 if cause.id in NEVER_SURE else 3)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("known", [everything, nothing])
@pytest.mark.parametrize("cause", CATALOGUE.values(), ids=list(CATALOGUE))
def test_explains_and_advises_whatever_is_known(
    cause: Cause, known: object, framework: str
) -> None:
    s = everything(framework) if known is everything else nothing(framework)
    assert 3 <= cause.explain(s).count(". ") + 1 <= 6
    advice = cause.advise(s)
    assert len({one.action for one in advice}) == len(advice) >= 1
    for one in advice:
        assert one.klass in {1, 2, 3, 4}
        assert all((one.title, one.text, one.code, one.undo, one.verify))
        assert all(math.isfinite(number) for number in numbers(dict(one.params)))


@pytest.mark.parametrize("cause", CATALOGUE.values(), ids=list(CATALOGUE))
def test_every_sign_says_in_a_line_what_it_looks_at_and_speaks_in_words(cause: Cause) -> None:
    for sign in cause.signs:
        assert len(str(sign.seen.__doc__).splitlines()) == 1
        text = sign.seen(everything("pytorch"))
        assert text is None or len(text) > 10


@pytest.mark.parametrize("cause", CATALOGUE)
def test_the_cause_wins_in_its_own_fault(cause: str) -> None:
    told = tell(FAULTS[cause]())
    part = told.parts[cause]
    assert (part.confidence >= 0.73) is (cause not in NEVER_SURE)
    assert [event.cause for event in told.events if event.kind == "firing"][-1] == cause
    assert str(part.opened_step) in part.title
    assert f"step {part.opened_step}" in part.explanation
    assert all(one.confidence == part.confidence for one in part.advice)
    assert all(one.apply_at_step > part.opened_step for one in part.advice)


def test_a_healthy_run_gets_no_advice() -> None:
    assert tell(healthy(600)).parts == {}
