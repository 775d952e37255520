"""Many waits share a timer and a call: each ends as if it had its own."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any

import pytest

from gradwatch_service.api.waiting import Answers, Deadline


def in_turn(*futures: Future[int]) -> None:
    """Answer each with its number, in another thread."""

    def answer() -> None:
        for number, future in enumerate(futures):
            future.set_result(number)

    thread = threading.Thread(target=answer)
    thread.start()
    thread.join()


def test_what_is_not_met_is_given_up_in_its_order_and_the_rest_is_not():
    async def watched() -> tuple[list[str], list[bool]]:
        given_up: asyncio.Queue[str] = asyncio.Queue()
        deadline = Deadline(0.01, given_up.put_nowait)
        for name in ("first", "second", "third"):
            deadline.watch(name)
        met = deadline.met("second")
        names = [await given_up.get() for _ in range(2)]
        deadline.watch("later")  # the timer is set again
        names.append(await given_up.get())
        return names, [met, deadline.met("first"), deadline.met("later")]

    assert asyncio.run(watched()) == (["first", "third", "later"], [True, False, False])


def test_nothing_is_given_up_before_its_time():
    async def watched() -> bool:
        deadline: Deadline[str] = Deadline(60, lambda _: pytest.fail("given up"))
        deadline.watch("one")
        await asyncio.sleep(0.02)
        return deadline.met("one")

    assert asyncio.run(watched())


def test_every_answer_reaches_the_one_who_waits_for_it():
    async def answered() -> list[int]:
        answers = Answers(60)
        futures = [Future[int]() for _ in range(500)]
        waiting = [asyncio.ensure_future(answers.to(future)) for future in futures]
        await asyncio.sleep(0)
        await asyncio.to_thread(in_turn, *futures)
        return await asyncio.gather(*waiting)

    assert asyncio.run(answered()) == list(range(500))


def test_answers_from_many_threads_are_all_heard():
    async def answered() -> int:
        answers = Answers(60)
        total = 0
        for _ in range(50):
            futures = [Future[int]() for _ in range(8)]
            waiting = [asyncio.ensure_future(answers.to(future)) for future in futures]
            await asyncio.sleep(0)
            threads = [threading.Thread(target=future.set_result, args=(1,)) for future in futures]
            for thread in threads:
                thread.start()
            total += sum(await asyncio.gather(*waiting))
        return total

    assert asyncio.run(answered()) == 400


def test_an_answer_that_is_there_already_is_given_at_once():
    future: Future[int] = Future()
    future.set_result(7)
    assert asyncio.run(_result(Answers(60).to(future))) == 7


def test_an_error_is_an_answer():
    future: Future[int] = Future()
    future.set_exception(LookupError("none"))
    with pytest.raises(LookupError, match="none"):
        asyncio.run(_result(Answers(60).to(future)))


def test_a_late_answer_is_not_waited_for_and_not_cancelled():
    future: Future[int] = Future()
    with pytest.raises(TimeoutError):
        asyncio.run(_result(Answers(0.01).to(future)))
    assert not future.cancelled()
    assert not future.done()


async def _result(answer: Coroutine[Any, Any, int]) -> int:
    return await answer
