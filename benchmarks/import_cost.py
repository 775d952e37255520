"""What ``import gradwatch`` adds to a process that has numpy: ms, each process beside one without.

``python benchmarks/import_cost.py [PYTHON]``; give the interpreter of an environment that has only
the client, since httpx imports more where there is more.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

ROUNDS = 21
PROGRAM = """
import time, numpy
begun = time.perf_counter()
{what}
print((time.perf_counter() - begun) * 1e3)
"""
IMPORT, START = "import gradwatch", "import gradwatch; gradwatch.init('lm', mode='disabled')"


def main(python: str) -> None:
    imported, started = ([cost(python, what) for _ in range(ROUNDS)] for what in (IMPORT, START))
    print(f"import gradwatch, beyond numpy: {shown(imported)}; with init(): {shown(started)}")


def cost(python: str, what: str) -> float:
    """Milliseconds in a fresh process."""
    command = [python, "-c", PROGRAM.format(what=what)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def shown(figures: list[float]) -> str:
    return (
        f"{statistics.median(figures):.0f} ms (least {min(figures):.0f}, most {max(figures):.0f})"
    )


if __name__ == "__main__":
    main(*(sys.argv[1:] or [sys.executable]))
