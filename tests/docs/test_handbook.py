"""The pages of rules and causes say what the code says, and every rule and cause has one."""

import re
from pathlib import Path

import pytest
from docs.handbook import DASHBOARDS, FOLDER, examples, pages

from gradwatch_service.detect.rules import catalogue as rules
from gradwatch_service.diagnose.causes import catalogue as causes


def _written() -> list[Path]:
    return [path for folder in ("rules", "causes") for path in (FOLDER / folder).glob("*.md")]


@pytest.fixture(scope="module", name="made")
def made_anew() -> dict[str, str]:
    return pages()


@pytest.mark.parametrize("path", sorted(_written()), ids=lambda path: path.name)
def test_a_page_is_what_make_docs_would_write(path: Path, made: dict[str, str]) -> None:
    name = f"{path.parent.name}/{path.name}"
    assert path.read_text(encoding="utf-8") == made[name], "run `make docs`"


def test_the_examples_in_the_dashboards_are_what_make_docs_would_write() -> None:
    assert (DASHBOARDS / "examples.json").read_text(encoding="utf-8") == examples(), (
        "run `make docs`"
    )


def test_there_is_a_page_of_every_rule_and_cause_and_of_none_that_is_gone(
    made: dict[str, str],
) -> None:
    found = {f"{path.parent.name}/{path.name}" for path in _written()}
    assert found == set(made)


@pytest.mark.parametrize("rule", [rule.id for rule in rules()])
def test_a_rule_tells_its_source_and_what_to_do(rule: str, made: dict[str, str]) -> None:
    page = made[f"rules/{rule}.md"]
    assert "\nSource: " in page
    assert re.search(r"\[[a-z0-9-]+\]\(\.\./causes/", page), "no cause explains this rule"


@pytest.mark.parametrize("cause", causes(), ids=lambda cause: cause.id)
def test_every_sign_of_a_cause_says_what_it_looks_at(cause: object, made: dict[str, str]) -> None:
    page = made[f"causes/{cause.id}.md"]  # type: ignore[attr-defined]
    assert not re.search(r"\| [+-]\d+ \|  \|", page)
    assert "### 1. " in page


def test_links_between_pages_lead_somewhere() -> None:
    for path in (*_written(), FOLDER / "sagemaker-debugger.md"):
        for target in re.findall(r"\]\(([^)#:]+\.md)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).is_file(), f"{path.name} -> {target}"
