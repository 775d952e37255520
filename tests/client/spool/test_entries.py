from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradwatch.spool import entries
from gradwatch.spool.entries import Entry, Frame, Kind, Position

kinds = st.sampled_from(Kind)
logs = st.lists(st.tuples(kinds, st.binary(max_size=40)), max_size=6)


def scanned(data: bytes) -> list[Entry]:
    return list(entries.scan(lambda at, length: data[at : at + length], 0))


def found(data: bytes) -> list[tuple[Kind, bytes]]:
    return [(entry.kind, entry.payload) for entry in scanned(data)]


@given(logs)
def test_what_was_packed_is_found_in_its_order(log: list[tuple[Kind, bytes]]) -> None:
    assert found(b"".join(entries.pack(*entry) for entry in log)) == log


@given(logs, st.data())
def test_a_log_torn_at_any_byte_keeps_its_whole_entries(
    log: list[tuple[Kind, bytes]], data: st.DataObject
) -> None:
    packed = [entries.pack(*entry) for entry in log]
    whole = b"".join(packed)
    cut = data.draw(st.integers(0, len(whole)))
    ends = [len(b"".join(packed[:count])) for count in range(len(packed) + 1)]
    kept = sum(end <= cut for end in ends) - 1
    assert found(whole[:cut]) == log[:kept]


@given(logs.filter(bool), st.data())
def test_a_flipped_bit_ends_the_log_where_it_is(
    log: list[tuple[Kind, bytes]], data: st.DataObject
) -> None:
    packed = [entries.pack(*entry) for entry in log]
    damaged = bytearray(b"".join(packed))
    place = data.draw(st.integers(0, 8 * len(damaged) - 1))
    damaged[place // 8] ^= 1 << place % 8
    ends = [len(b"".join(packed[:count])) for count in range(len(packed) + 1)]
    before = sum(end <= place // 8 for end in ends) - 1
    assert found(bytes(damaged)) == log[:before]


def test_zeros_that_a_crash_left_are_no_entry() -> None:
    assert found(entries.pack(Kind.MET) + bytes(4096)) == [(Kind.MET, b"")]


def test_a_kind_of_a_later_version_ends_the_log() -> None:
    later = bytearray(entries.pack(Kind.MET))
    later[8] = 99
    later[4:8] = (99).to_bytes(4, "little")  # a right checksum: that of nothing, seeded with 99
    assert found(bytes(later)) == []


def test_entries_say_where_they_are() -> None:
    first, second = scanned(entries.pack(Kind.MET) + entries.pack(Kind.FINISH, b"{}"))
    assert (first.at, first.end, second.at, second.end) == (0, 9, 9, 20)


@given(st.binary(max_size=50), st.integers(0, 2**32 - 1), st.sampled_from(["", "a" * 64]))
def test_frames_come_back(body: bytes, records: int, table: str) -> None:
    frame = Frame(body, records, table)
    assert entries.read_frame(entries.pack_frame(frame)) == frame
    assert entries.read_split(entries.pack_split([frame, frame])) == [frame, frame]


@pytest.mark.parametrize("position", [Position(), Position(7, doubtful=True, settled=2**40)])
def test_positions_come_back(position: Position) -> None:
    assert entries.read_position(entries.pack_position(position)) == position


def test_tables_and_objects_come_back() -> None:
    packed = entries.pack_table("hash", [{"name": "fc1\nü"}])
    assert entries.read_table_hash(packed) == "hash"
    assert entries.read_table(packed) == [{"name": "fc1\nü"}]
    assert entries.read_object(entries.pack_object({"state": "finished"})) == {"state": "finished"}
    assert entries.read_object(b"[]") == {}
