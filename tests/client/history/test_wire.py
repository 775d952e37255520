"""The smallest reader of protobuf agrees with protobuf itself, and says what is no message."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.compat.proto.event_pb2 import Event

from gradwatch.history.record_files import crc32c
from gradwatch.history.wire import DamagedError, fields, parts, real, signed, text


@given(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.text())
def test_fields_are_what_protobuf_wrote(step: int, time: float, version: str):
    message = Event(wall_time=time, step=step, file_version=version).SerializeToString()
    found = dict(fields(message))
    assert real(found.get(1, bytes(8))) == time
    assert signed(found.get(2, 0)) == step
    assert text(message, 3) == version
    assert list(parts(message, 5)) == []


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(content: bytes):
    try:
        found = list(fields(content))
    except DamagedError:
        return
    assert sum(len(value) for _, value in found if isinstance(value, bytes)) <= len(content)


@pytest.mark.parametrize("content", [b"\x0a\x05ab", b"\x80", b"\x0b", b"\x09\0\0", b"\x80" * 12])
def test_what_is_cut_short_is_no_message(content: bytes):
    with pytest.raises(DecodeError):
        Event.FromString(content)
    with pytest.raises(DamagedError):
        list(fields(content))


def test_a_field_of_another_type_is_refused():
    with pytest.raises(DamagedError):
        signed(b"12345678")
    for value in (3, b"123"):
        with pytest.raises(DamagedError):
            real(value)


def test_the_checksum_is_that_of_castagnoli():
    assert crc32c(b"123456789") == 0xE3069283  # the check value of RFC 3720
