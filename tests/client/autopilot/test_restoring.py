from __future__ import annotations

from gradwatch.autopilot.rates import RELEASE_STEPS
from gradwatch.autopilot.restoring import GOOD_STEPS
from gradwatch.news import News
from tests.client.autopilot.service_says import GUARD, Job, advice, firing, resolved

RELEASED = 64 + GOOD_STEPS


def lowered(action: str = "scale_lr") -> Job:
    """A job whose learning rate was lowered at step 0, after which the alert was over."""
    job = Job(2, news=firing(advice(action)))
    job.until(20)
    job.news = resolved(job.news)
    return job


def test_after_512_good_steps_the_rate_returns_to_its_schedule() -> None:
    for action in ("scale_lr", "cap_lr", "warmup_lr"):
        job = lowered(action)
        job.until(RELEASED + RELEASE_STEPS + GOOD_STEPS + 1)
        assert job.done == [
            (0, action, "applied"),
            (64, action, "verified"),
            (RELEASED, action, "undone"),
            (RELEASED + RELEASE_STEPS + GOOD_STEPS, action, ""),
        ]
        assert [order.verb for order in job.orders[2:]] == ["release", "forget"]
        assert job.state.hold is None


def test_a_bad_step_begins_the_count_anew() -> None:
    job = lowered()
    job.until(300)
    job.until(301, is_sound=False)
    job.until(301 + GOOD_STEPS + 1)
    assert job.done[-1] == (301 + GOOD_STEPS, "scale_lr", "undone")


def test_nothing_is_restored_while_the_service_is_silent() -> None:
    job = lowered()
    job.news = job.news.after({"guard": {**GUARD, "expires_step": 400}})
    job.until(1000)
    assert job.done[-1] == (64, "scale_lr", "verified")
    job.news = job.news.after({"guard": GUARD})
    job.until(1001)
    assert job.done[-1] == (1000, "scale_lr", "undone")


def test_an_open_alert_keeps_the_rate_down() -> None:
    job = Job(2, news=firing(advice("scale_lr"), severity="warning"))
    job.until(1000)
    assert [status for _, _, status in job.done] == ["applied", "failed"]


def test_if_the_alert_comes_back_the_rate_goes_down_again_for_good() -> None:
    job = lowered()
    job.until(RELEASED + 100)
    job.news = firing(advice("scale_lr", apply_at_step=job.step), before=job.news)
    job.until(RELEASED + 120)
    job.news = resolved(job.news)
    job.until(RELEASED + 3000)
    assert [(order.step, order.verb, order.status) for order in job.orders[2:]] == [
        (RELEASED, "release", "undone"),
        (RELEASED + 100, "reclaim", "applied"),
        (RELEASED + 164, "report", "verified"),
    ]
    assert job.orders[3].text == "Do scale_lr: the trouble came back"


def test_a_grave_alert_of_another_kind_takes_the_rate_back_too() -> None:
    job = lowered()
    job.until(RELEASED + 10)
    job.news = firing(before=job.news, id="other", cause="one-layer", severity="warning")
    job.until(RELEASED + 20)
    job.news = firing(before=job.news, id="other", cause="one-layer")
    job.until(RELEASED + 21)
    assert (job.orders[-1].step, job.orders[-1].verb) == (RELEASED + 20, "reclaim")


def test_a_new_cut_after_a_return_is_final() -> None:
    job = lowered()
    job.until(RELEASED + 10)
    told = firing(advice("cap_lr", "other"), id="other", severity="warning", before=job.news)
    job.news = told
    job.until(RELEASED + 12)
    assert job.done[-1] == (RELEASED + 10, "cap_lr", "applied")
    job.news = resolved(job.news)
    job.until(RELEASED + 3000)
    assert job.done[-1] == (RELEASED + 74, "cap_lr", "verified")


def test_what_does_not_lower_the_rate_is_not_restored() -> None:
    job = Job(2, news=firing(advice("scale_lr", params={"factor": 10.0}), advice("set_adam")))
    job.until(20)
    job.news = resolved(job.news)
    job.until(2000)
    assert job.done == [(0, "scale_lr", "applied"), (64, "scale_lr", "verified")]
    assert job.state.news is not News()
