"""Ranks compared by step: the same alerts whatever order their reports arrive in."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gradwatch_service.diagnose.ranks import KEPT, Ranks
from gradwatch_service.domain import Facts, Frame, Severity
from tests.ranks import Array, frames, replicas, struck, uneven
from tests.streams import cut

N = 240
NAMES = tuple(f"r{rank}" for rank in range(4))
Story = Mapping[str, Frame]


def told(norms: Array, local: Array | None = None) -> Story:
    """What each rank reports: the norm, and perhaps the one before the reduction."""
    plain = frames(norms)
    if local is None:
        return plain
    return {
        name: Frame(one.steps, one.time, {**one.scalars, "local_grad_norm": local[:, rank].copy()})
        for rank, (name, one) in enumerate(plain.items())
    }


@cache
def trouble() -> Story:
    """Rank 2 works on a shard of its own from 60 to 140, rank 1 has other weights from 150 on."""
    local = struck(uneven(N), 2, slice(60, 140), 8.0)
    return told(struck(replicas(N), 1, slice(150, None), 1.0003), local)


def play(story: Story, order: Iterable[str], ends: Mapping[str, Sequence[int]]) -> Ranks:
    """Hear the ranks in this order, each in frames that end at its places."""
    queues = {name: list(cut(frame, ends.get(name, ()))) for name, frame in story.items()}
    ranks = Ranks.of(Facts())
    for name in order:
        ranks = ranks.told(name, queues[name].pop(0)).caught_up()
    return ranks


def one_by_one(story: Story, size: int = 1) -> Ranks:
    """All ranks in step."""
    ends = {name: range(size, len(frame), size) for name, frame in story.items()}
    turns = max(len(end) for end in ends.values()) + 1
    return play(story, [name for _ in range(turns) for name in story], ends)


def verdict(ranks: Ranks) -> object:
    return ranks.judged.through, ranks.judged.events, dict(ranks.parts)


@cache
def expected() -> object:
    return verdict(one_by_one(trouble()))


def test_a_rank_out_of_line_and_a_replica_that_drifts_are_one_alert() -> None:
    ranks = one_by_one(trouble())
    assert [(one.kind, one.step) for one in ranks.judged.events] == [
        ("firing", 71),
        ("worsened", 151),
    ]
    (part,) = ranks.parts.values()
    assert (part.cause, part.severity) == ("hardware-or-rank", Severity.CRITICAL)
    assert set(part.layers) == {"r1", "r2"}
    odd = [(fact.layer, fact.value) for fact in part.evidence if fact.name == "rank"]
    assert odd == [("r1", 1.0), ("r2", 2.0)]


def test_healthy_ranks_are_no_matter() -> None:
    assert one_by_one(told(replicas(), uneven()), 20).judged.events == ()
    assert one_by_one(told(uneven(seed=5)), 20).judged.events == ()


@settings(max_examples=30, deadline=None)
@given(
    ends=st.tuples(*[st.sets(st.integers(1, N - 1), max_size=20)] * 4),
    chance=st.randoms(use_true_random=False),
    by_rank=st.booleans(),
)
def test_any_order_and_batching_gives_the_same_alerts(
    ends: Sequence[set[int]], chance: random.Random, by_rank: bool
) -> None:
    cuts = {name: sorted(end) for name, end in zip(NAMES, ends, strict=True)}
    order = [name for name in NAMES for _ in range(len(cuts[name]) + 1)]
    chance.shuffle(order)
    if by_rank:
        order = sorted(order, key=order.index)
    assert verdict(play(trouble(), order, cuts)) == expected()


def test_a_step_is_judged_when_every_rank_has_reached_it() -> None:
    story = told(replicas(40))
    ranks = play(story, ["r0", "r1", "r2", "r3"], {"r3": [10]})
    assert ranks.judged.through == 9
    assert ranks.judged.state.ordinal == 10


def test_nobody_waits_for_a_rank_that_has_ended() -> None:
    def through(reports: int) -> int:
        story = told(replicas(reports))
        story = {**story, "r3": next(cut(story["r3"], [15]))}
        return play(story, NAMES, {}).caught_up().judged.through

    assert through(KEPT + 14) == 14
    assert through(KEPT + 15) == KEPT + 14


def test_a_rank_may_be_a_thousand_reports_late() -> None:
    norms = struck(replicas(3 * KEPT), 1, slice(1500, None), 1.0003)
    story, size = told(norms), 512
    ends = {name: range(size, len(norms), size) for name in NAMES}
    late = play(story, [*["r0", "r1", "r2"] * 2, *["r3", "r0", "r1", "r2"] * 4, "r3", "r3"], ends)
    assert verdict(late) == verdict(one_by_one(story, size))
    assert [(one.kind, one.step) for one in late.judged.events] == [("firing", 1501)]
    assert max(map(len, late.reports.values())) <= 2 * KEPT


def test_a_rank_that_catches_up_after_it_was_left_behind_has_been_overlooked() -> None:
    story = told(replicas(4 * KEPT))
    parts = list(cut(story["r1"], range(512, 4 * KEPT, 512)))
    ranks = Ranks.of(Facts())
    for name in ("r0", "r2"):
        for part in cut(story[name], range(512, 4 * KEPT, 512)):
            ranks = ranks.told(name, part)
    ranks = ranks.caught_up()
    seen = []
    for part in parts:
        ranks = ranks.told("r1", part).caught_up()
        seen.append(ranks.overlooked)
    assert seen == [False] * 6 + [True] * 2


def test_a_rank_that_joins_late_is_compared_from_then_on() -> None:
    norms = struck(replicas(120), 3, slice(80, None), 1.001)
    story = told(norms)
    late = {**story, "r3": list(cut(story["r3"], [70]))[1]}
    ranks = play(late, NAMES, {})
    assert [(one.kind, one.step) for one in ranks.judged.events] == [("firing", 81)]
    assert ranks.parts["hardware-or-rank"].layers == ("r3",)


def test_a_process_started_again_is_not_compared_with_itself() -> None:
    story = frames(replicas(60, ranks=2))
    first, again = story["r0"], frames(struck(replicas(60, 2), 0, slice(30, None), 1.01))["r0"]
    alone = play({"r0-aa": first, "r0-bb": again}, ["r0-aa", "r0-bb"], {})
    assert (alone.judged.through, alone.judged.events) == (59, ())
    other = play({"r0-aa": first, "r1-bb": again}, ["r0-aa", "r1-bb"], {})
    assert [one.kind for one in other.judged.events] == ["firing"]


def test_frames_without_norms_are_no_rank() -> None:
    ranks = one_by_one(told(replicas(30)))
    silent = Frame(np.arange(5), np.zeros(5), {"loss": np.ones(5)})
    assert ranks.told("evaluation", silent) is ranks


def test_steps_that_could_not_be_judged_are_gone_past() -> None:
    ranks = Ranks.of(Facts())
    for name, frame in told(replicas(30)).items():
        ranks = ranks.told(name, frame)
    skipped = ranks.skipped()
    assert (skipped.judged.through, skipped.judged.state.ordinal) == (29, 0)
    assert skipped.caught_up().judged.state.ordinal == 0
