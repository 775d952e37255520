import re
import secrets

import pytest

from gradwatch_service.store.key_text import digest_of, key_id_of, new_key
from tests.tenants import checksum


def test_a_key_is_known_by_its_form_and_carries_its_id_in_the_open():
    made = new_key()
    assert re.fullmatch("gw_[0-9A-Za-z]{10}_[0-9A-Za-z]{38}", made.text)
    assert made.text.split("_")[1] == made.key_id == key_id_of(made.text)
    assert made.text.endswith(checksum(made.text[:-6]))


def test_the_secret_has_190_bits_and_is_never_the_same():
    assert 62**32 > 2**190
    assert len({new_key().text for _ in range(200)}) == 200


def test_every_typing_mistake_of_one_letter_is_found():
    text = new_key().text
    for place in range(len(text)):
        wrong = "a" if text[place] != "a" else "b"
        assert key_id_of(text[:place] + wrong + text[place + 1 :]) is None


@pytest.mark.parametrize(
    "text", ["", "gw__", "gw_a_b", "xx_" + "0" * 49, "gw_" + "é" * 49, "_" * 60, "gw_" * 10_000]
)
def test_what_has_another_form_is_no_key(text):
    assert key_id_of(text) is None


def test_the_checksum_may_begin_with_zeros():
    for _ in range(3_000):
        body = f"gw_{'0' * 10}_{secrets.token_hex(16)}"
        if checksum(body).startswith("0"):
            assert key_id_of(body + checksum(body)) == "0" * 10
            return
    pytest.fail("no checksum began with a zero")


def test_of_a_secret_32_bytes_are_kept():
    assert len(digest_of(new_key().text)) == 32
