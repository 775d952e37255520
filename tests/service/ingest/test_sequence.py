"""The order of one writer's frames, decided without any database."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gradwatch_service.ingest.sequence import PATIENCE, START, Position


def arrive_all(seqs: list[int], position: Position = START) -> tuple[Position, list[int]]:
    folded: list[int] = []
    for seq in seqs:
        position, ready = position.arrive(seq)
        folded += ready
    return position, folded


def test_frames_in_order_are_folded_at_once() -> None:
    assert arrive_all([0, 1, 2]) == (Position(3), [0, 1, 2])


def test_frames_beyond_a_gap_wait_until_it_fills() -> None:
    position, folded = arrive_all([0, 3, 2])
    assert (position, folded) == (Position(1, (2, 3)), [0])
    assert position.gaps() == ((1, 1),)
    assert position.arrive(1) == (Position(4), (1, 2, 3))


def test_every_gap_is_reported() -> None:
    position, _ = arrive_all([2, 3, 7, 9])
    assert position.gaps() == ((0, 1), (4, 6), (8, 8))


def test_a_gap_is_given_up_when_64_later_frames_have_arrived() -> None:
    waiting = list(range(2, 2 + PATIENCE))
    position, folded = arrive_all([0, *waiting[:-1]])
    assert (position.next_seq, folded) == (1, [0])
    position, folded = arrive_all(waiting[-1:], position)
    assert (position, folded) == (Position(2 + PATIENCE, (), lost=1), waiting)


def test_only_the_first_gap_is_given_up() -> None:
    position, folded = arrive_all([5, *range(9, 9 + PATIENCE - 1)])
    assert folded == [5]
    assert position.lost == 5
    assert position.gaps() == ((6, 8),)


def test_a_frame_that_comes_after_it_was_given_up_is_not_folded_and_no_longer_lost() -> None:
    position, _ = arrive_all(list(range(2, 2 + PATIENCE)))
    assert position.lost == 2
    late, folded = position.arrive(1)
    assert folded == ()
    assert (late.next_seq, late.lost) == (position.next_seq, 1)


def test_what_was_folded_or_waits_may_have_been_stored_and_nothing_else() -> None:
    position, _ = arrive_all([0, 2])
    assert [position.knows(seq) for seq in range(4)] == [True, False, True, False]


@given(st.permutations(list(range(40))))
def test_any_order_of_arrival_is_folded_in_order(seqs: list[int]) -> None:
    assert arrive_all(seqs) == (Position(40), list(range(40)))


@given(st.lists(st.integers(0, 300), unique=True))
def test_each_frame_is_folded_at_most_once_and_in_order(seqs: list[int]) -> None:
    position, folded = arrive_all(seqs)
    assert folded == sorted(set(folded))
    assert not set(folded) & set(position.waiting)
    assert len(position.waiting) < PATIENCE
