"""Whose a queue is: what a spool file says of itself at its beginning; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gradwatch.values import JsonValue


@dataclass(frozen=True, slots=True)
class Origin:
    """Who wrote a queue, since when, in which run, and for which service ("": any)."""

    url: str
    writer: str
    run: Mapping[str, JsonValue]
    began: float = 0.0

    @classmethod
    def of(cls, intro: Mapping[str, JsonValue]) -> Origin:
        """What a file says of itself."""
        run, began = intro.get("run"), intro.get("began")
        return cls(
            str(intro.get("url") or ""),
            str(intro.get("writer") or ""),
            run if isinstance(run, dict) else {},
            float(began) if isinstance(began, int | float) else 0.0,
        )

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return str(self.run.get("id") or "")

    def under(self, writer: str) -> Origin:
        """The same launch under the name of another writer."""
        return replace(self, writer=writer)

    def as_json(self) -> dict[str, JsonValue]:
        """What is written into the file."""
        run = dict(self.run)
        return {"url": self.url, "writer": self.writer, "run": run, "began": self.began}
