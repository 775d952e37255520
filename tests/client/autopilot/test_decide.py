from __future__ import annotations

from gradwatch.autopilot.decide import decide
from gradwatch.autopilot.order import Word
from gradwatch.autopilot.state import Moment, State
from gradwatch.guard import Guard
from gradwatch.news import News
from tests.client.autopilot.service_says import ALL_WELL, Job, advice, firing, resolved


def test_a_quiet_step_gives_back_the_same_state() -> None:
    state, _ = decide(State.initial(3, 0, 0), Moment(0, ALL_WELL))
    for step in range(1, 400):
        after, orders = decide(state, Moment(step, ALL_WELL))
        assert after is state
        assert orders == ()


def test_a_stopped_run_decides_nothing() -> None:
    job = Job(news=firing(advice("scale_lr")))
    job.until(1, weights_lost=True)
    assert job.state.stopped
    job.until(100)
    assert [order.verb for order in job.orders] == ["stop"]


def test_the_state_is_a_value() -> None:
    state = State.initial(2, 0, 0)
    news = firing(advice("scale_lr"))
    first = decide(state, Moment(5, news))
    assert decide(state, Moment(5, news)) == first
    assert state == State.initial(2, 0, 0)


def test_an_alert_ends_with_the_health_of_the_run_though_nobody_says_so() -> None:
    job = Job(news=firing(advice("cap_lr")))
    job.until(10)
    job.news = job.news.after({"health": "ok"})
    job.until(65)
    assert job.done[-1] == (64, "cap_lr", "verified")


def test_an_acknowledged_alert_is_still_open() -> None:
    job = Job(news=firing(advice("cap_lr")))
    job.until(10)
    job.news = firing(before=job.news, state="acknowledged")
    job.until(65)
    assert job.done[-1] == (64, "cap_lr", "failed")


def test_advice_that_cannot_be_read_is_left_out() -> None:
    odd = [{"id": 3}, advice("cap_lr", id=None), advice("cap_lr", **{"class": "two"})]
    job = Job(news=firing(*odd, advice("scale_lr", params="none", confidence="NaN")))
    job.until(10)
    assert job.orders == []


def test_a_word_survives_its_journey_to_the_other_ranks() -> None:
    job = Job(news=firing(advice("scale_lr"), advice("clip_grad_norm", params={"max_norm": 0.1})))
    job.until(1)
    word = Word(Guard(0.3, None, True, 4, 99), tuple(job.orders))
    assert Word.unpack(word.pack()) == word
    assert Word.unpack(Word().pack()) == Word()


def test_trouble_that_begins_before_anything_was_heard_is_harmless() -> None:
    state, orders = decide(State.initial(1, 0, 0), Moment(0, News(), is_sound=False))
    assert orders == ()
    assert state.sound_since == 1
    assert resolved(News()).alerts == ()
