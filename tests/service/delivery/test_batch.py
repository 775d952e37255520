import uuid

from gradwatch_service.delivery.batch import choose
from gradwatch_service.store.deliveries import Delivery
from tests.alerting import NOW

PER_MINUTE = 10


def delivery(number: int, digest_id: uuid.UUID | None = None) -> Delivery:
    key = uuid.UUID(int=number)
    return Delivery(key, key, uuid.UUID(int=0), "p", "firing", {}, NOW, NOW, digest_id=digest_id)


def test_messages_leave_one_by_one_while_there_is_room():
    found = choose([delivery(1), delivery(2)], 0, PER_MINUTE)
    assert found is not None
    assert (found.deliveries, found.digest_id) == ((delivery(1),), None)


def test_the_last_of_a_minute_speaks_of_all_that_waits():
    waiting = [delivery(number) for number in range(1, 40)]
    found = choose(waiting, PER_MINUTE - 1, PER_MINUTE)
    assert found is not None
    assert found.deliveries == tuple(waiting)
    assert found.digest_id is not None
    turned = choose(waiting[::-1], PER_MINUTE - 1, PER_MINUTE)
    assert turned is not None
    assert turned.digest_id == found.digest_id


def test_one_alone_is_no_digest():
    found = choose([delivery(1)], PER_MINUTE - 1, PER_MINUTE)
    assert found is not None
    assert found.digest_id is None


def test_after_enough_in_a_minute_all_wait():
    assert choose([delivery(1)], PER_MINUTE, PER_MINUTE) is None
    assert choose([], 0, PER_MINUTE) is None


def test_a_digest_goes_out_again_as_it_was_and_takes_nothing_new_in():
    key = uuid.uuid4()
    due = [delivery(1, key), delivery(2), delivery(3, key)]
    found = choose(due, PER_MINUTE - 1, PER_MINUTE)
    assert found is not None
    assert (found.deliveries, found.digest_id) == ((due[0], due[2]), key)
