"""clip-saturation."""

import numpy as np
import pytest

from gradwatch_service.domain import MISSING64
from tests.service.detect.watching import watch
from tests.streams import Array, Scenario, noise, steady

N = 640


def clipped(norm: Array | float, *, limit: Array | float = 1.0, uw: float = 0.9e-4) -> Scenario:
    run = steady(N).scalar("grad_norm", norm).scalar("clip_norm", limit)
    return run.stat("update_norm", np.full(len(run.layers), 8.0 * uw))


def saturation(run: Scenario) -> list[tuple[int, str, str]]:
    return watch(run).of("clip-saturation")


@pytest.mark.parametrize(
    ("share", "factor", "severity"),
    [(0.6, 2.1, "warning"), (0.6, 100.0, "warning"), (1.0, 3.9, "warning"), (1.0, 4.1, "error")],
)
def test_the_severity_follows_from_share_and_factor(
    share: float, factor: float, severity: str
) -> None:
    norm = np.where(np.arange(N) % 10 < 10 * share, factor, 0.5)
    assert saturation(clipped(norm)) == [(255, "opened", severity)]


@pytest.mark.parametrize(("share", "factor"), [(0.4, 100.0), (1.0, 1.9), (0.0, 100.0)])
def test_less_is_none(share: float, factor: float) -> None:
    assert saturation(clipped(np.where(np.arange(N) % 10 < 10 * share, factor, 0.5))) == []


def test_it_must_be_the_clip_that_makes_the_updates_small() -> None:
    assert saturation(clipped(8.0, uw=1.1e-4)) == []
    assert saturation(clipped(8.0, uw=1.2e-5)) == []
    assert saturation(clipped(8.0, uw=1.3e-5)) != []


def test_where_the_updates_are_not_known_a_factor_of_64_is_enough() -> None:
    assert saturation(clipped(63.0, uw=np.nan)) == []
    assert saturation(clipped(65.0, uw=np.nan)) == [(255, "opened", "error")]


def test_it_ends_once_few_are_clipped() -> None:
    norm = np.where(np.arange(N) < 300, 8.0, 0.5)
    assert saturation(clipped(norm)) == [
        (255, "opened", "error"),
        # 60 of the last 256 are clipped in the block that ends at 495.
        (495 + 31, "cleared", "error"),
    ]


def test_it_is_silent_while_the_loss_falls() -> None:
    falls = clipped(8.0).scalar("loss", np.exp2(-np.arange(N) / 1000) * noise(N, 0.02, 1))
    assert saturation(falls) == []
    flat = clipped(8.0).scalar("loss", noise(N, 0.02, 1))
    assert saturation(flat) != []
    assert saturation(clipped(8.0).scalar("loss", np.nan)) != []
    assert saturation(clipped(8.0).scalar("loss", -1.0 - 0.001 * np.arange(N))) == []


def test_it_is_silent_while_the_learning_rate_rises() -> None:
    rate = 1e-3 * np.minimum(1.0, np.arange(N) / 400)
    assert saturation(clipped(8.0).scalar("lr", rate))[0][0] == 479
    assert saturation(clipped(8.0).scalar("lr", 1e-3 - 1e-6 * np.arange(N)))[0][0] == 255


def test_reports_without_a_limit_do_not_count() -> None:
    limit = np.where(np.arange(N) % 2, 1.0, MISSING64)
    assert saturation(clipped(8.0, limit=limit))[0][0] == 511
    assert saturation(clipped(8.0, limit=0.0)) == []
    assert saturation(clipped(8.0).scalar("clip_norm", MISSING64)) == []


def test_the_evidence_tells_the_share_and_the_factor() -> None:
    fact = watch(clipped(8.0)).first("clip-saturation").evidence[0]
    assert (fact.name, fact.value, fact.threshold) == ("clip-saturation", 1.0, 0.5)
    assert fact.text.startswith("100% of the last 256 gradients were clipped, the median by a f")
    assert "factor 8," in fact.text
