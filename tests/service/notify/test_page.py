from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from gradwatch_service.notify.channels.slack import body_of
from gradwatch_service.notify.page import page_of
from gradwatch_service.notify.words import Words, words_of
from tests.messages import LINK, SUBJECT, message

HOSTILE = st.one_of(
    st.sampled_from(
        [
            "<script>alert(1)</script>",
            '"><img src=x onerror=alert(1)>',
            "</p></div><a href='http://evil.example'>x</a>",
            "<!channel> <@U123> <http://evil.example|fine> &lt;!here&gt;",
            "[click](http://evil.example) @everyone `x` *b* _i_",
            "<!--",
            "&#60;b&#62;",
        ]
    ),
    st.text(max_size=80),
)


class Tags(HTMLParser):
    """Every tag of a page with its attributes, in order, and the text between them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[object] = []
        self.text: list[str] = []

    @override
    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append((tag, attrs))

    @override
    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    tags.close()
    return tags


def named(name: str) -> Words:
    """A message in which everything that users and jobs can name is called so."""
    subject = replace(
        SUBJECT, run_name=name, title=name, explanation=name, layers=(name,), remedies=(name,)
    )
    return words_of(message("firing", subject, subject, project=name, run_name=name))


@given(HOSTILE)
def test_no_name_adds_a_tag_to_the_page(name: str) -> None:
    assert parsed(page_of(named(name), "p@x")).tags == parsed(page_of(named("fine"), "p@x")).tags


@given(HOSTILE)
def test_no_name_adds_a_link_or_a_mention_to_a_message_for_slack(name: str) -> None:
    body = body_of(named(name))
    sections = [block["text"]["text"] for block in body["blocks"][1:]]
    assert sections.pop() == f"<{LINK}|Open in Gradwatch>"
    assert not any("<" in text or ">" in text for text in sections)
    assert "<" not in body["text"]
    assert body["text"].count("://") == 1


def test_a_name_is_shown_as_it_is() -> None:
    page = parsed(page_of(named("a<b & c"), ""))
    assert any("run a<b & c of project a<b & c" in text for text in page.text)


def test_the_page_loads_nothing() -> None:
    page = page_of(named("fine"), "p@x")
    assert page.count("://") == 1
    assert 'src="cid:p@x"' in page
    assert "<script" not in page
