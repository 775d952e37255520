"""Settings of rules as people send them: checked against what each rule has, and shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

from gradwatch_service.detect.rule import Rule
from gradwatch_service.detect.rules import catalogue
from gradwatch_service.detect.tuning import SWITCHES, Threshold, sees, thresholds
from gradwatch_service.errors import Invalid, ItemError
from gradwatch_service.store.codec import Json
from gradwatch_service.store.rules import RuleSettings
from gradwatch_service.store.wording import pointer_to

Settings = dict[str, dict[str, float]]

RULES: Final[Mapping[str, Rule[Any]]] = {rule.id: rule for rule in catalogue()}


def checked(sent: Mapping[str, Mapping[str, Any]], member: str) -> Settings:
    """What differs from the defaults, in its right types; ``member``: of the body that holds it.

    Raises:
        Invalid: with a pointer to everything that no rule has or that is out of range.
    """
    found: Settings = {}
    errors: list[ItemError] = []
    hints: list[str] = []
    for rule, own in sent.items():
        if rule not in RULES:
            errors.append(ItemError(pointer_to(member, rule), "unknown-rule"))
            hints.append(_hint("rule", rule, RULES))
            continue
        for name, value in own.items():
            try:
                right = _value(RULES[rule], name, value)
            except _WrongError as wrong:
                errors.append(ItemError(pointer_to(member, rule, name), wrong.code))
                hints.append(wrong.hint)
                continue
            if right is not None:
                found.setdefault(rule, {})[name] = right
    if errors:
        raise Invalid("; ".join(dict.fromkeys(hints)), errors=tuple(errors))
    return found


def schema() -> Json:
    """What may be sent, as JSON Schema says it."""
    return _closed({rule.id: _schema_of(rule) for rule in RULES.values()})


def _schema_of(rule: Rule[Any]) -> Json:
    switches: Json = {name: {"type": "boolean"} for name in SWITCHES}
    return _closed(switches | {one.name: _number_schema(one) for one in thresholds(rule)})


def _number_schema(one: Threshold) -> Json:
    return {
        "type": "integer" if one.is_whole else "number",
        "minimum": one.low,
        "maximum": one.high,
        "default": one.default,
        "description": one.meaning,
    }


def _closed(properties: Json) -> Json:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def shown(project: str, held: RuleSettings) -> Json:
    """Every rule of a project, as it is set."""
    return {
        "project": project,
        "updated_at": held.updated_at,  # type: ignore[dict-item]
        "updated_by": held.updated_by,
        "settings": held.body,
        "rules": [_rule(rule, held.body.get(id_, {})) for id_, rule in RULES.items()],
    }


def _rule(rule: Rule[Any], own: Mapping[str, float]) -> Json:
    return {
        "id": rule.id,
        "sees": sees(rule),
        "enabled": bool(own.get("enabled", True)),
        "notify": bool(own.get("notify", True)),
        "changed": bool(own),
        "thresholds": [
            {
                "name": one.name,
                "value": own.get(one.name, one.default),
                "default": one.default,
                "low": one.low,
                "high": one.high,
                "unit": one.unit,
                "whole": one.is_whole,
                "meaning": one.meaning,
            }
            for one in thresholds(rule)
        ],
    }


class _WrongError(Exception):
    """A setting that cannot be: a stable code, and what would be right."""

    def __init__(self, code: str, hint: str) -> None:
        super().__init__(code)
        self.code, self.hint = code, hint


def _value(rule: Rule[Any], name: str, value: Any) -> float | None:
    """The value in its right type; None: it is the default."""
    if name in SWITCHES:
        if not isinstance(value, bool):
            raise _WrongError("bool-type", f"{name} is true or false")
        return None if value else False
    known = {one.name: one for one in thresholds(rule)}
    if name not in known:
        raise _WrongError(
            "unknown-setting", _hint(f"setting of {rule.id}", name, [*known, *SWITCHES])
        )
    right = _number(rule.id, known[name], value)
    return None if right == known[name].default else right


def _number(rule: str, one: Threshold, value: Any) -> float:
    kind = "whole number" if one.is_whole else "number"
    hint = f"{rule}.{one.name} is a {kind} from {one.low:g} to {one.high:g}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _WrongError("number-type", hint)
    if not one.low <= value <= one.high:  # so a NaN is out of range, too
        raise _WrongError("out-of-range", hint)
    if one.is_whole and value != int(value):
        raise _WrongError("int-type", hint)
    return int(value) if one.is_whole else float(value)


def _hint(what: str, wrong: str, known: Mapping[str, object] | list[str]) -> str:
    """In our own words: what somebody sent is never repeated."""
    near = get_close_matches(wrong, known, n=1)
    words = f"did you mean {near[0]}?" if near else f"there are {', '.join(_few(known))}"
    return f"no such {what}: {words}"


def _few(known: Mapping[str, object] | list[str]) -> Iterator[str]:
    yield from list(known)[:8]
    if len(known) > 8:
        yield "…"
