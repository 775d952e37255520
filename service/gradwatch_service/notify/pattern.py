"""Regular expressions of matchers: always the whole text, in time linear in it, whoever wrote them.

Python's ``re`` goes back and tries again, which a few characters can make last for hours. Here all
ways are followed at once (Thompson 1968).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

MOST_CHARACTERS = 256
MOST_DEPTH = 16

Test: TypeAlias = Callable[[str], bool]
# A step takes one character, or leads on to others without taking any.
Step: TypeAlias = Test | tuple[int, ...]

_CLASSES: dict[str, Test] = {
    "d": str.isdecimal,
    "w": lambda one: one.isalnum() or one == "_",
    "s": str.isspace,
}


class PatternError(ValueError):
    """The expression cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A program; a text matches if some way through it takes all of it."""

    steps: tuple[Step, ...]

    def matches(self, text: str) -> bool:
        """Whether the whole text is what the expression describes."""
        now = self._reached([0])
        for one in text:
            taken = [at + 1 for at in now if self._takes(at, one)]
            if not taken:
                return False
            now = self._reached(taken)
        return len(self.steps) in now

    def _takes(self, at: int, one: str) -> bool:
        step = self.steps[at] if at < len(self.steps) else ()
        return callable(step) and step(one)

    def _reached(self, places: Iterable[int]) -> set[int]:
        """Where one can be without taking a character."""
        found: set[int] = set()
        waiting = list(places)
        while waiting:
            at = waiting.pop()
            if at in found:
                continue
            found.add(at)
            step = self.steps[at] if at < len(self.steps) else None
            if isinstance(step, tuple):
                waiting += [at + jump for jump in step]
        return found


@lru_cache(maxsize=1_024)
def compiled(expression: str) -> Pattern:
    r"""Read an expression: text, ``.``, ``[a-z]``, ``\d \w \s``, ``( | )``, ``* + ?``.

    Raises:
        PatternError: it is too long, or uses anything else.
    """
    if len(expression) > MOST_CHARACTERS:
        raise PatternError(f"an expression has at most {MOST_CHARACTERS} characters")
    reader = _Reader(expression)
    steps = reader.choice()
    if reader.rest:
        raise PatternError("a ) has no ( before it")
    return Pattern(tuple(steps))


@dataclass
class _Reader:
    """Reads an expression from left to right; jumps are relative: programs can be joined."""

    text: str
    at: int = 0
    depth: int = field(default=0)

    @property
    def rest(self) -> str:
        """What is still to be read."""
        return self.text[self.at :]

    def choice(self) -> list[Step]:
        """Parts with ``|`` between them."""
        steps = self._sequence()
        while self._skip("|"):
            other = self._sequence()
            steps = [(1, len(steps) + 2), *steps, (len(other) + 1,), *other]
        return steps

    def _sequence(self) -> list[Step]:
        steps: list[Step] = []
        while self.rest and self.rest[0] not in "|)":
            steps += self._repeated(self._one())
        return steps

    def _repeated(self, steps: list[Step]) -> list[Step]:
        size = len(steps)
        if self._skip("*"):
            steps = [(1, size + 2), *steps, (-size - 1,)]
        elif self._skip("+"):
            steps = [*steps, (-size, 1)]
        elif self._skip("?"):
            steps = [(1, size + 1), *steps]
        if self.rest[:1] in {"*", "+", "?"}:
            raise PatternError("one of * + ? cannot follow another")
        return steps

    def _one(self) -> list[Step]:
        one = self._next()
        if one == "(":
            return self._group()
        if one == "[":
            return [self._class()]
        if one == ".":
            return [lambda _: True]
        if one == "\\":
            return [self._escaped()]
        if one in "*+?{}^$]":
            raise PatternError(f"{one} cannot stand here; write \\{one} for the character itself")
        return [_exactly(one)]

    def _group(self) -> list[Step]:
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise PatternError("there are too many ( within each other")
        if self.rest.startswith("?:"):
            self.at += 2
        steps = self.choice()
        if not self._skip(")"):
            raise PatternError("a ( has no ) after it")
        self.depth -= 1
        return steps

    def _escaped(self) -> Test:
        one = self._next()
        if one.lower() in _CLASSES:
            test = _CLASSES[one.lower()]
            return test if one.islower() else lambda other: not test(other)
        if one.isalnum():
            raise PatternError(f"\\{one} is not known here")
        return _exactly(one)

    def _class(self) -> Test:
        inverted = self._skip("^")
        tests: list[Test] = []
        while not self._skip("]"):
            tests.append(self._member())
        if not tests:
            raise PatternError("a [ ] is empty")
        return lambda one: any(test(one) for test in tests) != inverted

    def _member(self) -> Test:
        first = self._next()
        if first == "\\":
            return self._escaped()
        if self.rest[:1] != "-" or self.rest[1:2] in {"", "]"}:
            return _exactly(first)
        self.at += 1
        last = self._next()
        if last < first:
            raise PatternError("a range in [ ] is the wrong way round")
        return lambda one: first <= one <= last

    def _next(self) -> str:
        if not self.rest:
            raise PatternError("the expression ends too early")
        self.at += 1
        return self.text[self.at - 1]

    def _skip(self, one: str) -> bool:
        found = self.rest[:1] == one
        self.at += found
        return found


def _exactly(wanted: str) -> Test:
    return wanted.__eq__
