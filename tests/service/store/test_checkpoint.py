"""A state that was packed and unpacked goes on as if nothing had been between, bit for bit."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import zstandard

import gradwatch_service
from gradwatch_service.diagnose import fold
from gradwatch_service.diagnose.fold import Outcome, WriterState
from gradwatch_service.domain import MISSING64, Facts, Layer, LayerTable
from gradwatch_service.store import checkpoint
from tests.everything import measured
from tests.scenarios import FAULTY, HEALTHY, scenario
from tests.service.detect.test_batching import everything
from tests.streams import MLP, Scenario, cut, training

FACTS = Facts.from_config({"optimizer": "AdamW", "betas": [0.9, 0.95], "lr": 1e-3})
TOLD = scenario("learning rate jump")
RICH = replace(TOLD, frame=measured(TOLD.frame, 1))


def assert_same(one: object, other: object, at: str = "state") -> None:
    """Of the same types, with the same bits."""
    assert type(one) is type(other), at
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        assert (one.dtype, one.shape, one.flags.fnc) == (other.dtype, other.shape, other.flags.fnc)
        assert one.tobytes() == other.tobytes(), at
    elif isinstance(one, float) and isinstance(other, float):
        assert struct.pack("d", one) == struct.pack("d", other), at
    elif isinstance(one, dict) or is_dataclass(one):
        these, those = parts(one), parts(other)
        assert list(these) == list(those), at
        for name in these:
            assert_same(these[name], those[name], f"{at}.{name}")
    elif isinstance(one, tuple | list) and isinstance(other, tuple | list):
        assert_same(dict(enumerate(one)), dict(enumerate(other)), at)
    else:
        assert one == other, at


def parts(value: Any) -> dict[Any, Any]:
    if isinstance(value, dict):
        return value
    return {field.name: getattr(value, field.name) for field in fields(value)}


def restored(state: WriterState, layers: LayerTable | None = None) -> WriterState:
    body = checkpoint.pack(state)
    assert body is not None
    found = checkpoint.unpack(body, layers)
    assert found is not None
    return found


def told(
    run: Scenario, at: Sequence[int], *, broken: bool = False
) -> tuple[WriterState, list[Outcome]]:
    """State and outcomes of a run cut before these reports; ``broken``: restored at each cut."""
    state, outcomes = fold.init(run.layers, FACTS), []
    for frame in cut(run.frame, at):
        state, outcome = fold.update(state, frame, run.layers)
        outcomes.append(outcome)
        if broken:
            kept = state
            state = restored(state, run.layers if len(outcomes) % 2 else None)
            assert_same(kept, state)
    return state, outcomes


def check_unbroken(run: Scenario, at: Sequence[int]) -> None:
    (state, outcomes), (whole, expected) = told(run, at, broken=True), told(run, at)
    assert_same(outcomes, expected)
    assert_same(state, whole)


@pytest.mark.parametrize("name", [*FAULTY, *HEALTHY])
def test_every_scenario_goes_on_as_if_it_had_not_been_broken(name: str) -> None:
    run = scenario(name)
    at = np.unique(np.random.default_rng(len(run)).integers(1, len(run), 6)).tolist()
    check_unbroken(run, at)


@pytest.mark.parametrize("seed", range(4))
def test_streams_of_everything_go_on_too(seed: int) -> None:
    run = everything(seed)
    check_unbroken(run, [5, 64, 130, 131, 256])


def test_so_does_a_stream_with_events_profiles_and_every_statistic() -> None:
    check_unbroken(RICH, [1, *range(25, len(RICH), 40)])


def test_a_state_without_reports_is_kept_as_well() -> None:
    for table in (MLP, LayerTable()):
        state = fold.init(table, FACTS)
        assert_same(restored(state), state)


def test_the_layer_table_stays_one_object() -> None:
    state = told(training(80), [])[0]
    found = restored(state)
    assert found.history.layers is found.detector.substrate.layers
    assert found.history.layers is not MLP
    assert restored(state, MLP).history.layers is MLP
    other = LayerTable((Layer("other"),))
    assert restored(state, other).history.layers == MLP


def test_restored_arrays_can_be_written_and_are_nobody_elses() -> None:
    state = told(training(80), [])[0]
    body = checkpoint.pack(state)
    assert body is not None
    one, other = checkpoint.unpack(body), checkpoint.unpack(body)
    assert one is not None
    assert other is not None
    one.detector.substrate.layer.ring[:] = 7
    assert_same(other, state)


@pytest.mark.parametrize(
    "value",
    [
        -(2**63), 2**64 - 1, -(2**63) - 1, 2**64, 10**30, True, None, "", "\ud800", b"\xff",
        [1, [2]], (1, (2,)), {"a": {}}, -0.0, float("inf"), float(MISSING64),
        np.float64(0.1), np.int64(3), np.bool_(True), np.zeros((0, 3)), np.array(5.0),
        np.arange(6).reshape(2, 3).T, frozenset({1, 2}),
    ],
    ids=repr,
)  # fmt: skip
def test_whatever_a_config_says_is_kept(value: Any) -> None:
    state = fold.init(MLP, Facts(extra={"value": value}))
    assert_same(restored(state).facts.extra["value"], value)


def test_what_cannot_be_kept_is_not() -> None:
    deep: list[Any] = []
    for _ in range(2_000):
        deep = [deep]
    for value in (deep, object(), Path("x"), np.array(["text"]), np.array([None])):
        assert checkpoint.pack(fold.init(MLP, Facts(extra={"value": value}))) is None


@pytest.fixture(scope="module")
def body() -> bytes:
    packed = checkpoint.pack(told(training(80), [])[0])
    assert packed is not None
    return packed


def test_a_body_cut_short_or_too_long_is_not_read(body: bytes) -> None:
    for size in (0, 1, 31, 32, 35, 36, 37, 100, len(body) // 2, len(body) - 1):
        assert checkpoint.unpack(body[:size]) is None
    assert checkpoint.unpack(body + b"\0") is None


def test_a_body_with_a_wrong_bit_is_not_read(body: bytes) -> None:
    rng = np.random.default_rng(1)
    for place in [*range(64), *rng.integers(0, len(body), 500).tolist(), len(body) - 1]:
        damaged = bytearray(body)
        damaged[place] ^= 1 << int(rng.integers(8))
        assert checkpoint.unpack(bytes(damaged)) is None


def sealed(rest: bytes) -> bytes:
    return checkpoint.fingerprint() + zlib.crc32(rest).to_bytes(4, "little") + rest


@pytest.mark.parametrize(
    "content",
    [
        None, 1, ([], 5), (["no.such.Class"], (9, 1)), ([], (9, 1)), ([], (2, 1)), ([], (5, "<f8")),
        ([], (5, "<f8", [9], False, b"")), ([], (8, 3)), ([], ()), ([], (0, 1)),
        (["os.system"], (9, "")),
        (["gradwatch_service.domain.Facts"], (9, "sgd")),
        (["gradwatch_service.domain.Facts"], (9, *range(30))),
    ],
    ids=repr,
)  # fmt: skip
def test_a_body_of_something_else_is_not_read(content: Any) -> None:
    assert checkpoint.unpack(sealed(zstandard.compress(msgpack.packb(content)))) is None


def test_a_body_that_is_not_compressed_is_not_read() -> None:
    assert checkpoint.unpack(sealed(b"plain")) is None


def test_the_body_of_other_code_is_not_read(body: bytes) -> None:
    assert checkpoint.unpack(body) is not None
    assert checkpoint.unpack(bytes(32) + body[32:]) is None


def test_the_fingerprint_is_that_of_the_code_wherever_it_lies(tmp_path: Path) -> None:
    shutil.copytree(
        Path(gradwatch_service.__file__).parent,
        tmp_path / "gradwatch_service",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    assert _fingerprint_in(tmp_path) == checkpoint.fingerprint().hex()
    found = {_fingerprint_in(tmp_path)}
    for name in ("detect/rules/non_finite.py", "diagnose/causes/plateau.py", "domain.py"):
        with (tmp_path / "gradwatch_service" / name).open("a") as source:
            source.write("# another rule\n")
        found.add(_fingerprint_in(tmp_path))
    assert len(found) == 4


def _fingerprint_in(folder: Path) -> str:
    script = "from gradwatch_service.store import checkpoint; print(checkpoint.fingerprint().hex())"
    done = subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONPATH": str(folder)}, capture_output=True,
        check=True, text=True, timeout=60,
    )  # fmt: skip
    return done.stdout.strip()
