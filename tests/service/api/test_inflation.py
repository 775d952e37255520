import gzip
import tracemalloc

import pytest
import zstandard

from gradwatch_service.api.inflation import inflate
from gradwatch_service.errors import TooLarge, Unreadable

MIB = 2**20
BODY = bytes(range(256)) * 4096

COMPRESS = {"gzip": gzip.compress, "zstd": zstandard.compress}
each_encoding = pytest.mark.parametrize("encoding", ["gzip", "zstd"])


@each_encoding
@pytest.mark.parametrize("body", [b"", b"x", BODY])
def test_returns_what_was_compressed(encoding, body):
    assert inflate(COMPRESS[encoding](body), encoding, len(BODY)) == body


@each_encoding
def test_refuses_one_byte_too_many(encoding):
    with pytest.raises(TooLarge) as caught:
        inflate(COMPRESS[encoding](BODY), encoding, len(BODY) - 1)
    assert caught.value.code == "inflates-too-large"


def lying_zstd_bomb() -> bytes:
    """64 MiB of zeros in a frame that does not declare its size."""
    stream = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    return stream.compress(bytes(64 * MIB)) + stream.flush()


@pytest.mark.parametrize(
    ("encoding", "bomb"),
    [
        ("gzip", gzip.compress(bytes(64 * MIB))),
        ("zstd", zstandard.compress(bytes(64 * MIB))),
        ("zstd", lying_zstd_bomb()),
    ],
    ids=["gzip", "zstd", "zstd of unknown size"],
)
def test_a_bomb_never_unfolds_in_memory(encoding, bomb):
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            inflate(bomb, encoding, MIB)
        assert tracemalloc.get_traced_memory()[1] < 12 * MIB
    finally:
        tracemalloc.stop()


@each_encoding
@pytest.mark.parametrize("damage", [lambda data: data[:-3], lambda data: data + b"more"])
def test_refuses_a_body_cut_short_or_followed_by_more(encoding, damage):
    with pytest.raises(Unreadable):
        inflate(damage(COMPRESS[encoding](BODY)), encoding, len(BODY))


@each_encoding
@pytest.mark.parametrize("body", [b"", b"not compressed at all"])
def test_refuses_what_is_not_compressed(encoding, body):
    with pytest.raises(Unreadable):
        inflate(body, encoding, len(BODY))


@each_encoding
def test_inflates_one_layer_only(encoding):
    once = COMPRESS[encoding](BODY)
    assert inflate(COMPRESS[encoding](once), encoding, len(BODY)) == once
