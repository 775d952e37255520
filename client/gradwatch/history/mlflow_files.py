"""Runs of MLflow from its folder ``mlruns``: a plain file for each metric, parameter, tag."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from gradwatch.history.past_run import PastRun, Value
from gradwatch.values import JsonValue

_META, _METRICS, _PARAMS, _TAGS = "meta.yaml", "metrics", "params", "tags"
_RUN_ID = "run_id"
_NAME_TAG = "mlflow.runName"
_STATES = {"4": "failed", "5": "failed", "FAILED": "failed", "KILLED": "failed"}
_TRASH = ".trash"
_MILLISECONDS = 1e3


def read(root: Path) -> Iterator[PastRun]:
    """The runs below a folder, in the order of their ids; deleted ones are not there."""
    for meta in sorted(root.rglob(_META)):
        folder = meta.parent
        if not (folder / _METRICS).is_dir() or _TRASH in folder.parts:
            continue
        facts = _facts(meta)
        if _RUN_ID in facts:  # models have metrics, too
            yield _read_run(folder, facts)


def state_of(status: str) -> str:
    """Finished or failed, as MLflow says it in words or numbers."""
    return _STATES.get(status, "finished")


def seconds(milliseconds: float) -> float:
    """A time of MLflow as Unix seconds."""
    return milliseconds / _MILLISECONDS


def setting(text: str) -> JsonValue:
    """A parameter: MLflow keeps numbers as text."""
    try:
        value: JsonValue = json.loads(text)
    except ValueError:
        return text
    return value


def _read_run(folder: Path, facts: Mapping[str, str]) -> PastRun:
    experiment = folder.parent / _META
    run = PastRun(
        source="mlflow",
        key=facts[_RUN_ID],
        name=_text(folder / _TAGS / _NAME_TAG) or facts.get("run_name") or folder.name,
        project=_facts(experiment).get("name") if experiment.is_file() else None,
        state=state_of(facts.get("status", "")),
        config={name: setting(_text(file)) for name, file in _files(folder / _PARAMS)},
    )
    for name, file in _files(folder / _METRICS):
        for line in _content(file).splitlines():
            _take(run, name, line.split())
    return run


def _take(run: PastRun, name: str, words: list[str]) -> None:
    """One line: time, value, and maybe the step."""
    try:
        time, value = float(words[0]), float(words[1])
        step = int(words[2]) if len(words) > 2 else len(run.series.get(name, ()))
    except (ValueError, IndexError):
        run.left_out["unreadable lines of metrics"] += 1
        return
    run.add(name, step, Value(seconds(time), value))


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Names, which may have slashes, and their files."""
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            yield file.relative_to(folder).as_posix(), file


def _text(file: Path) -> str:
    return _content(file).strip() if file.is_file() else ""


def _content(file: Path) -> str:
    return file.read_text("utf-8", errors="replace")


def _facts(meta: Path) -> dict[str, str]:
    """The top level of a plain YAML file: words and numbers, as MLflow writes them."""
    pairs = (line.partition(":") for line in _content(meta).splitlines())
    return {key: value.strip().strip("'\"") for key, _, value in pairs if key[:1].isalpha()}
