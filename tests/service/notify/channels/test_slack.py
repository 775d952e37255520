from tests.messages import LINK, SUBJECT, a_test, message, over, resolved
from tests.receivers import Receiver
from tests.service.notify.channels.opening import failure, opened


def test_the_text_says_what_where_since_when_why_and_what_to_do(receiver: Receiver) -> None:
    opened("slack", url=f"{receiver.url}/services/T0/B0/x").deliver(message())
    (request,) = receiver.received
    assert (request.method, request.path) == ("POST", "/services/T0/B0/x")
    assert request.headers["content-type"] == "application/json"
    assert request.json["text"] == (
        "CRITICAL: gpt-small: The learning rate is too high (step 212)\n"
        "Where: layers W_hh, W_xh, b_h and 2 more; run gpt-small of project lm, now at step 215.\n"
        "Since: step 212, 27 Nov 2026 13:00 UTC.\n"
        "Why: Learning rate too high (confidence 95%). Since step 212 the updates are too large "
        "for the shape of the loss.\n"
        "What to do:\n"
        "1. Multiply the learning rate by 0.5, from 0.000586 to 0.000293.\n"
        "2. Keep the learning rate at or below 0.00028.\n"
        f"\n{LINK}"
    )


def test_the_blocks_say_the_same(receiver: Receiver) -> None:
    opened("slack", url=receiver.url).deliver(message())
    blocks = receiver.received[0].json["blocks"]
    assert [block["type"] for block in blocks] == ["header", "section", "section"]
    assert blocks[0]["text"]["text"].startswith("CRITICAL: gpt-small")
    assert blocks[1]["text"]["text"].startswith("*Where*: layers W_hh, W_xh, b_h and 2 more; run")
    assert "*What to do*:\n1. Multiply" in blocks[1]["text"]["text"]
    assert blocks[2]["text"]["text"] == f"<{LINK}|Open in Gradwatch>"


def test_a_block_of_several_begins_with_its_heading(receiver: Receiver) -> None:
    opened("slack", url=receiver.url).deliver(message("firing", SUBJECT, over()))
    begin = "*RESOLVED: The learning rate is too high (step 212)*\n*Where*: "
    assert receiver.received[0].json["blocks"][2]["text"]["text"].startswith(begin)


def test_a_resolution_says_how_long_it_lasted(receiver: Receiver) -> None:
    opened("slack", url=receiver.url).deliver(resolved())
    text = receiver.received[0].json["text"]
    assert text.startswith("RESOLVED: gpt-small")
    assert "Lasted: from step 212 to step 215, 27 Nov 2026 13:00 UTC." in text


def test_a_test_message_says_that_nothing_is_wrong(receiver: Receiver) -> None:
    opened("slack", url=receiver.url).deliver(a_test())
    assert "Nothing is wrong." in receiver.received[0].json["text"]


def test_slacks_own_word_is_told(receiver: Receiver) -> None:
    receiver.will_answer(404, b"channel_not_found")
    error = failure(opened("slack", url=receiver.url), message())
    assert error.detail == "the receiver answered 404 Not Found: channel_not_found"
    assert error.permanent


def test_other_words_of_the_receiver_are_not_told(receiver: Receiver) -> None:
    receiver.will_answer(400, b"<html>internal secret</html>")
    assert "secret" not in failure(opened("slack", url=receiver.url), message()).detail


def test_what_a_channel_does_not_want_is_not_sent(receiver: Receiver) -> None:
    opened("slack", url=receiver.url, send_resolved=False).deliver(resolved())
    assert receiver.received == []
