"""Plotly.js is changed in one place only, and only where it is as we know it."""

from __future__ import annotations

from importlib.resources import files

from gradwatch_service.web.assets import PLOTLY
from gradwatch_service.web.parsing import parsed_once


def test_the_factory_of_the_installed_plotly_gets_parentheses_and_nothing_else():
    script = (files("plotly") / "package_data" / PLOTLY).read_bytes().rstrip()
    made = parsed_once(script)
    assert len(made) == len(script) + 2
    assert (
        made.replace(b"this, (() => {", b"this, () => {").removesuffix(b")));") + b"));" == script
    )


def test_a_script_of_another_make_is_served_as_it_is():
    for script in (b"", b"var Plotly = {};\n", b"(() => {}));"):
        assert parsed_once(script) == script
