"""Tables as people and programs read them: Markdown on the screen, both in files."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

Row: TypeAlias = dict[str, "str | int | float | None"]
FOLDER = Path("build")


def markdown(found: Mapping[str, Sequence[Row]]) -> str:
    """The tables under their names."""
    parts = [f"### {name}\n\n{_table(table)}\n" for name, table in found.items() if table]
    return "\n".join(parts)


def write(found: Mapping[str, Sequence[Row]], folder: Path = FOLDER) -> None:
    """Print the tables, and leave them in ``detection.md`` and ``detection.json``."""
    text = markdown(found)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "detection.md").write_text(text)
    plain = {name: [_plain(row) for row in table] for name, table in found.items()}
    (folder / "detection.json").write_text(json.dumps(plain, indent=1, ensure_ascii=False))
    print(text)


def _table(table: Sequence[Row]) -> str:
    lines = [list(table[0]), ["---"] * len(table[0])]
    lines += [[_cell(value) for value in row.values()] for row in table]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: str | float | None) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}"
    return str(value)


def _plain(row: Row) -> Row:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }
