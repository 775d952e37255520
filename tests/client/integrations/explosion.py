"""The seeded fault of these tests: the gradient of one layer grows without bound from a step on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.e2e.exploded import assert_seen

FAULT, STEPS = 70, 110
CULPRIT = "layers.2.weight"
ON_SQLITE = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)  # the same on any
PAGE = Path(__file__).parents[3] / "docs" / "integrations.md"


def factor(step: int) -> float:
    """By what the culprit's gradient is multiplied; a power of two, so exactly invertible."""
    return 2.0 ** min(max(step - FAULT, 0), 10)


def documented(title: str) -> str:
    """The Python of a section of the docs."""
    section = PAGE.read_text().split(f"\n## {title}\n", maxsplit=1)[1].split("\n## ")[0]
    return "".join(re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL))


class Told(NamedTuple):
    """A run of another process, which has ended and delivered everything."""

    id: str

    def flush(self, _: float) -> bool:
        return True


def assert_detected(http: httpx.Client, run: Any, culprit: str = CULPRIT) -> None:
    """The explosion is found soon after it began, not before, in this layer alone."""
    assert run.flush(20.0)
    assert_seen(str(http.base_url), run.id, culprit, FAULT)


def series(http: httpx.Client, run: Any, metric: str, layer: str | None = None) -> dict[str, Any]:
    wanted = {"metric": metric} if layer is None else {"metric": metric, "layer": layer}
    return http.get(f"/runs/{run.id}/series", params=wanted).json()


def numbers(service: Any, run: Any, metric: str) -> list[float]:
    """A scalar of all steps that arrived at a service in memory."""
    assert run.flush(10.0)
    return [float(value) for value in service.scalar(metric)]
