"""Expressions of matchers: as Python reads them, and never longer than the text takes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradwatch_service.notify import pattern
from gradwatch_service.notify.pattern import PatternError, compiled

ATOMS = r"a b - . \d \D \w \W \s \S \. \* \\ [ab] [^a-c] [\d_-] [^\s.] [a^]"
UNFIT = r"( ) a) (a [ [] [a [b-a] a** * +a a{3} ^a a$ \ \1 \b (?=a) (?P<n>a) a?? ]"
EXPRESSIONS = st.recursive(
    st.builds(
        str.__add__, st.sampled_from(ATOMS.split()), st.sampled_from(["", "", "*", "+", "?"])
    ),
    lambda inner: (
        st.lists(inner, max_size=3).map("".join)
        | st.builds("({}|{}){}".format, inner, inner, st.sampled_from(["", "*", "+", "?"]))
        | st.builds("(?:{})".format, inner)
        | st.builds("{}|{}".format, inner, inner)
    ),
    max_leaves=6,
)
TEXTS = st.text("abc-.*_ 07\\^", max_size=8)


@settings(deadline=None, derandomize=True)  # Python's own may take for ever, by bad luck
@given(EXPRESSIONS, TEXTS)
def test_an_expression_means_what_it_means_to_python(expression: str, text: str) -> None:
    known = re.fullmatch(expression, text, re.DOTALL | re.ASCII) is not None
    assert compiled(expression).matches(text) == known


@pytest.mark.parametrize(
    ("expression", "text", "expected"),
    [
        ("lm-.*", "lm-large", True),
        ("lm-.*", "my-lm-large", False),
        ("warning|error", "error", True),
        ("warning|error", "errors", False),
        ("", "", True),
        ("", "a", False),
        ("größe.+", "größe-1", True),
    ],
)
def test_the_whole_text_counts(expression: str, text: str, expected: object) -> None:
    assert compiled(expression).matches(text) is expected


@pytest.mark.parametrize("expression", ["(a*)*b", "(a|a)*b", "(a|aa)+b", "(.*)(.*)(.*)(.*)b"])
def test_what_never_ends_elsewhere_takes_a_few_looks_a_character(
    expression: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    original = pattern.Pattern._takes

    def counted(self: pattern.Pattern, at: int, one: str) -> bool:
        nonlocal looks
        looks += 1
        return original(self, at, one)

    monkeypatch.setattr(pattern.Pattern, "_takes", counted)
    assert not compiled(expression).matches("a" * 400)
    assert 400 <= looks <= 400 * (len(compiled(expression).steps) + 1)


@pytest.mark.parametrize(
    "expression",
    [*UNFIT.split(), "a" * 257, "(" * 20 + ")" * 20],
)
def test_what_cannot_be_used_is_refused(expression: str) -> None:
    with pytest.raises(PatternError):
        compiled(expression)
