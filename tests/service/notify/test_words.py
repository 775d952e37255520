import uuid
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradwatch_service.domain import Severity
from gradwatch_service.notify.escape import plain
from gradwatch_service.notify.words import TITLE_MAX, cause_in_words, layers_in_words, words_of
from tests.messages import LINK, SUBJECT, a_test, message, over, resolved

MILDER = replace(
    SUBJECT,
    alert_id=uuid.UUID(int=2),
    severity=Severity.WARNING,
    title="Gradients explode through time in W_hh (step 118)",
    cause="explosion-through-time",
    layers=("W_hh",),
)
TEXT = st.text(max_size=2_000)


def test_one_alert_has_its_title_once() -> None:
    words = words_of(message())
    assert words.title == "CRITICAL: gpt-small: The learning rate is too high (step 212)"
    assert [item.heading for item in words.items] == [""]
    assert words.link == LINK


def test_several_alerts_are_counted_and_told_one_by_one() -> None:
    words = words_of(message("firing", SUBJECT, MILDER))
    assert words.title.endswith("(step 212) (and 1 more)")
    assert [item.heading for item in words.items] == [
        "CRITICAL: The learning rate is too high (step 212)",
        "WARNING: Gradients explode through time in W_hh (step 118)",
    ]


def test_what_is_over_stands_beside_what_still_fires() -> None:
    words = words_of(message("firing", MILDER, over()))
    assert words.title.startswith("WARNING: gpt-small: Gradients explode")
    assert words.items[1].heading == "RESOLVED: The learning rate is too high (step 212)"
    assert words.items[1].steps == ()


def test_a_repetition_says_that_it_is_one() -> None:
    assert words_of(message(repeats=True)).title.startswith("STILL CRITICAL: gpt-small")


def test_a_resolution_says_so_first() -> None:
    words = words_of(resolved())
    assert words.title == "RESOLVED: gpt-small: The learning rate is too high (step 212)"
    assert [question for question, _ in words.items[0].facts] == ["Where", "Lasted", "It was"]


def test_what_came_back_says_so() -> None:
    words = words_of(message("firing", replace(SUBJECT, regressed=True)))
    assert "It was over before, and is back." in words.text(plain)


def test_a_digest_counts_alerts_and_runs_and_shows_ten() -> None:
    runs = [uuid.UUID(int=number % 7) for number in range(14)]
    many = [replace(SUBJECT, run_id=run, run_name=f"run {run.int}") for run in runs]
    words = words_of(message("digest", *many, run_id=None))
    assert words.title == "CRITICAL: lm: 14 alerts in 7 runs"
    assert len(words.items) == 10
    assert words.outro == "and 4 more alerts"
    assert words.items[0].heading.startswith("CRITICAL: run 0: The learning rate")


def test_a_test_says_that_nothing_is_wrong() -> None:
    words = words_of(a_test())
    assert words.title == "Test: alerts of lm will arrive here"
    assert "Nothing is wrong" in words.intro


def test_many_alerts_of_a_run_are_counted_beyond_the_first_four() -> None:
    words = words_of(message("firing", *[SUBJECT] * 7))
    assert (len(words.items), words.outro) == (4, "and 3 more alerts")


@pytest.mark.parametrize(
    ("layers", "shown"),
    [
        (("a",), "layer a"),
        (("a", "b"), "layers a, b"),
        (("a", "b", "c", "d"), "layers a, b, c and 1 more"),
    ],
)
def test_layers_are_named_or_counted(layers: tuple[str, ...], shown: str) -> None:
    assert layers_in_words(layers) == shown


def test_causes_are_named_in_plain_words() -> None:
    assert cause_in_words("clip-missing-or-loose") == "Missing or loose clipping"
    assert cause_in_words("of-a-later-version") == "of a later version"


@given(TEXT, TEXT, TEXT, st.lists(TEXT, max_size=8), st.sampled_from(["firing", "digest"]))
def test_whatever_things_are_called_the_form_stays(
    run: str, title: str, explanation: str, names: list[str], kind: str
) -> None:
    """No name adds a line, hides one or makes the message endless."""
    subject = replace(
        SUBJECT,
        run_name=run,
        title=title,
        explanation=explanation,
        layers=tuple(names),
        remedies=tuple(names),
    )
    words = words_of(message(kind, subject, subject, run_name=run, project=run))
    usual = words_of(message(kind, SUBJECT, SUBJECT))
    assert len(words.title) <= TITLE_MAX
    assert [len(item.facts) for item in words.items] == [len(item.facts) for item in usual.items]
    text = words.text(plain)
    lines = sum(1 + len(item.facts) + len(item.steps) + bool(item.steps) for item in words.items)
    assert len([one for one in text.splitlines() if one]) <= 3 + lines
    assert len(text) < 16_000


def test_what_is_over_is_at_no_step_now() -> None:
    facts = dict(words_of(resolved()).items[0].facts)
    assert facts["Where"].endswith("; run gpt-small of project lm.")
    assert dict(words_of(message()).items[0].facts)["Where"].endswith("lm, now at step 215.")
