"""The text of a key: ``gw_<key id>_<secret><checksum>``.

Scanners know it by its form, and a typing mistake is found without asking the database.
"""

from __future__ import annotations

import secrets
import string
import zlib
from hashlib import sha256
from typing import NamedTuple

PREFIX = "gw"
ALPHABET = string.digits + string.ascii_letters
ID_LENGTH = 10
SECRET_LENGTH = 32  # of 62 letters: 190 bits
CHECKSUM_LENGTH = 6
MAX_LENGTH = 100


class NewKey(NamedTuple):
    """A key that nobody has yet; ``text`` is what its owner is shown, once."""

    key_id: str
    text: str


def new_key() -> NewKey:
    """A fresh key."""
    key_id, secret = _letters(ID_LENGTH), _letters(SECRET_LENGTH)
    body = f"{PREFIX}_{key_id}_{secret}"
    return NewKey(key_id, body + _checksum(body))


def key_id_of(text: str) -> str | None:
    """The id in the text of a key; None if it is no such text, or a letter is wrong."""
    parts = text.split("_") if len(text) <= MAX_LENGTH and text.isascii() else []
    if [len(part) for part in parts] != [len(PREFIX), ID_LENGTH, SECRET_LENGTH + CHECKSUM_LENGTH]:
        return None
    if parts[0] != PREFIX or _checksum(text[:-CHECKSUM_LENGTH]) != text[-CHECKSUM_LENGTH:]:
        return None
    return parts[1]


def digest_of(text: str) -> bytes:
    """What is kept of a secret; it has too many bits to be guessed, so one round is enough."""
    return sha256(text.encode()).digest()


def _letters(count: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(count))


def _checksum(text: str) -> str:
    """CRC-32 in base 62."""
    rest, letters = zlib.crc32(text.encode()), ""
    for _ in range(CHECKSUM_LENGTH):
        rest, digit = divmod(rest, len(ALPHABET))
        letters = ALPHABET[digit] + letters
    return letters
