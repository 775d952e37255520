"""The handbook in the dashboards says what the code says."""

from __future__ import annotations

import re
from html import unescape

import pytest

from gradwatch_service.detect.rules import catalogue as rules
from gradwatch_service.diagnose.causes import catalogue as causes
from gradwatch_service.web.handbook import examples, prose
from gradwatch_service.web.rendering import environment
from tests.service.api.conftest import Api
from tests.service.api.conftest import api as api

IDS = sorted({one.id for one in (*rules(), *causes())})


def page(api: Api, path: str, status: int = 200) -> str:
    answer = api.send("GET", f"http://test{path}", headers={"accept": "text/html"})
    assert answer.status_code == status
    return answer.text


def test_the_first_page_leads_to_every_rule_and_cause(api: Api):
    assert set(re.findall(r'href="/handbook/([^"]*)"', page(api, "/handbook"))) == set(IDS)


@pytest.mark.parametrize("entry", IDS)
def test_every_entry_has_a_page_whose_links_lead_somewhere(api: Api, entry: str):
    text = page(api, f"/handbook/{entry}")
    assert text.count("<h1>") == 1
    assert set(re.findall(r'href="/handbook/([^"]*)"', text)) <= set(IDS)


def test_a_cause_is_shown_with_an_alert_and_its_remedies(api: Api):
    text = unescape(page(api, "/handbook/learning-rate-too-high"))
    example = examples()["learning-rate-too-high"]
    assert example["explanation"] in text
    assert all(advice["code"] in text for advice in example["advice"])
    (cause,) = [one for one in causes() if one.id == "learning-rate-too-high"]
    assert all(f"<code>{sign.name}</code>" in text for sign in cause.signs)


def test_a_rule_is_shown_with_what_may_be_set_of_it(api: Api):
    text = page(api, "/handbook/gradient-spike")
    assert "robust z of the norm; never below what its own noise asks for" in text
    assert "Learning rate too high" in text
    assert "after 16 calm reports" in text


def test_what_is_both_a_rule_and_a_cause_has_both_on_its_page(api: Api):
    text = page(api, "/handbook/explosion-through-time")
    assert "<h1>Explosion through time</h1>" in text
    assert "<h2>The rule explosion-through-time</h2>" in text


def test_what_is_in_no_handbook_is_not_found(api: Api):
    assert "The handbook has no page" in page(api, "/handbook/nothing", status=404)


def test_text_is_escaped_and_what_stands_in_backticks_is_code():
    assert str(prose("a < `b & c`")) == "a &lt; <code>b &amp; c</code>"


def test_other_pages_can_link_to_an_entry():
    template = (
        '{% from "_handbook.html" import handbook_link %}{{ handbook_link("plateau", "A < b") }}'
    )
    text = environment().from_string(template).render()
    assert 'href="/handbook/plateau"' in text
    assert ">A &lt; b</a>" in text
