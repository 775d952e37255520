import html as markup
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradwatch_service.notify.escape import ZERO_WIDTH, html, line, plain, slack

# Bits that mean something to somebody, and anything else between them.
BITS = st.sampled_from(
    ["<!channel>", "@here", "@everyone", "<@U1>", "<#C1>", "[x](http://e.x)", "](", "*", "_", "__",
     "~", "`", "```", "|", "<b>", "</p>", "&lt;", "&", ">", '"', "'", "http://e.x", "www.e.x",
     ":tada:", "<http://e.x|fine>", "\n", "\r\n", "\x00", "\u202e", "\u2028", "\u200b", " "]
)  # fmt: skip
TEXTS = st.lists(st.one_of(BITS, st.text(max_size=5))).map("".join)

ACTIVE = re.compile(
    rf"@(?!{ZERO_WIDTH})|[`*~|]|\]\(|://|__|www\.|:[\w+-]+:|(?<![^\W_])_|_(?![^\W_])", re.IGNORECASE
)


@given(TEXTS)
def test_nothing_in_a_text_for_slack_is_markup_or_a_mention(text: str) -> None:
    shown = slack(line(text, 500))
    assert not ACTIVE.search(shown)
    assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", shown)


@given(TEXTS)
def test_nothing_in_a_plain_text_is_markup_or_a_mention(text: str) -> None:
    shown = plain(line(text, 500))
    assert not ACTIVE.search(shown)
    assert not re.search(r"<[^\s\d=]", shown)


@given(TEXTS)
def test_nothing_in_a_page_is_markup(text: str) -> None:
    shown = html(line(text, 500))
    assert not re.search(r"[<>\"']|&(?!amp;|lt;|gt;|quot;|#x27;)", shown)
    assert "://" not in shown


@given(TEXTS, st.integers(min_value=1, max_value=50))
def test_a_line_is_one_line_and_no_longer_than_it_may_be(text: str, length: int) -> None:
    shown = line(text, length)
    assert len(shown) <= length
    assert len(shown.splitlines()) <= 1
    assert shown.isprintable()


@given(
    st.text(
        st.characters(codec="ascii", categories=["L", "N"], include_characters="._-/[]"), min_size=1
    )
)
def test_letters_and_digits_are_left_alone(text: str) -> None:
    kept = re.sub(r"\W|_", "", plain(text))
    assert kept == re.sub(r"\W|_", "", text)


@pytest.mark.parametrize(
    "usual",
    ["model.layers.0.self_attn.q_proj.weight", "layers[0]/kernel:0", "p < 0.01", "β = 0.11"],
)
def test_what_layers_and_explanations_look_like_stays_as_it_is(usual: str) -> None:
    assert plain(usual) == usual
    assert markup.unescape(slack(usual)) == usual


def test_an_overlong_line_says_that_it_goes_on() -> None:
    assert line("abcdefgh", 5) == "abcd…"
