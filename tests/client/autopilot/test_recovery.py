from __future__ import annotations

from typing import Any

from gradwatch.autopilot.recovery import LOST
from tests.client.autopilot.service_says import ALL_WELL, Job, advice, firing, resolved


def diverged(latest: int, **changes: Any) -> Any:
    """What is heard when the run should go back to a checkpoint of ``latest`` or before."""
    params = {"to_step": None, "latest_step": latest, "skip_data_to_step": latest + 300}
    return firing(advice("rollback", params=params, **changes))


def saves(job: Job) -> list[int]:
    return [step for step, what, _ in job.done if what == "save"]


def test_checkpoints_are_saved_at_intervals() -> None:
    job = Job(save_every=100)
    job.until(450)
    assert saves(job) == [0, 100, 200, 300, 400]


def test_a_checkpoint_waits_until_the_run_was_healthy_for_64_steps() -> None:
    job = Job(save_every=100)
    job.until(90)
    job.until(91, is_sound=False)
    job.until(180)
    job.news = firing()
    job.until(250)
    job.news = resolved(job.news)
    job.until(400)
    assert saves(job) == [0, 91 + 64, 250 + 64]


def test_no_checkpoint_is_saved_of_a_bad_step() -> None:
    job = Job(save_every=100)
    job.until(100)
    job.until(101, is_sound=False)
    job.until(200)
    assert saves(job) == [0, 101 + 64]


def test_the_newest_checkpoint_before_the_onset_is_chosen() -> None:
    job = Job(save_every=100)
    job.until(450)
    job.news = diverged(250)
    job.until(451)
    order = job.orders[-1]
    assert (order.action, order.params) == (
        "rollback",
        {"to_step": 200, "skip_data_to_step": 550},
    )
    assert [mark.step for mark in job.state.checkpoints] == [0, 100, 200]


def test_without_a_step_a_hundred_steps_are_left_out() -> None:
    job = Job(save_every=100)
    job.until(450)
    job.news = firing(advice("rollback"))
    job.until(451)
    assert job.orders[-1].params == {"to_step": 300, "skip_data_to_step": 450}


def test_trouble_from_the_start_goes_back_to_the_first_checkpoint() -> None:
    job = Job(save_every=100)
    job.until(50)
    job.news = diverged(0)
    job.until(51)
    assert job.orders[-1].params == {"to_step": 0, "skip_data_to_step": 300}


def test_without_a_checkpoint_old_enough_it_is_declined() -> None:
    job = Job(save_every=100)
    job.until(1250)
    job.news = diverged(99)
    job.until(1260)
    assert job.done[-1] == (1250, "rollback", "declined")
    assert job.orders[-1].text.endswith("no checkpoint of its own at or before step 99")


def test_the_first_checkpoint_is_given_up_after_1000_steps() -> None:
    job = Job(save_every=100)
    job.until(1000)
    assert job.state.checkpoints[0].step == 0
    job.until(1001)
    assert [mark.step for mark in job.state.checkpoints][:2] == [100, 200]


def test_a_level_below_3_saves_nothing_by_itself() -> None:
    assert Job(2, save_every=0).state.busy is False


def test_after_two_returns_to_a_checkpoint_the_run_stops() -> None:
    job = Job(save_every=200)
    job.until(300)
    for turn in range(3):
        job.news = diverged(250, id=f"back-{turn}")
        job.until(job.step + 20)
        job.news = resolved(job.news)
        job.until(job.step + 80)
    returns = [status for _, what, status in job.done if what == "rollback"]
    assert returns == ["applied", "verified", "applied", "verified", "applied"]
    assert job.orders[-1].verb == "stop"
    assert job.state.stopped
    assert job.orders[-1].text.endswith("went back to step 200 twice, it cannot go on")


def test_after_a_return_the_next_checkpoint_is_a_whole_interval_away() -> None:
    job = Job(save_every=100)
    job.until(210)
    job.news = diverged(150)
    job.until(211)
    job.news = resolved(job.news)
    job.until(330)
    assert saves(job) == [0, 100, 200, 310]
    marks = [(mark.step, mark.returns) for mark in job.state.checkpoints]
    assert marks == [(0, 0), (100, 1), (310, 0)]


def test_a_checkpoint_that_cannot_be_loaded_is_given_up() -> None:
    job = Job(save_every=100, cannot=frozenset({"rollback"}))
    job.until(250)
    job.news = diverged(220)
    job.until(252)
    assert job.done[-1] == (250, "rollback", "declined")
    assert [mark.step for mark in job.state.checkpoints] == [0, 100]


def test_weights_that_are_lost_need_no_advice_to_go_back() -> None:
    job = Job(save_every=100)
    job.until(250)
    job.until(251, weights_lost=True, is_sound=False)
    assert job.done[-1] == (250, "rollback", "applied")
    assert job.orders[-1].params["to_step"] == 100
    assert job.orders[-1].id == LOST.id


def test_a_checkpoint_too_young_is_better_than_none_when_weights_are_lost() -> None:
    job = Job(save_every=100)
    job.until(130)
    job.until(131, weights_lost=True, is_sound=False)
    assert job.orders[-1].params["to_step"] == 100


def test_without_a_checkpoint_lost_weights_end_the_run() -> None:
    job = Job()
    job.until(50)
    job.until(60, weights_lost=True, is_sound=False)
    assert job.done == [(50, "rollback", "applied")]
    assert (job.orders[-1].verb, job.state.stopped) == ("stop", True)


def test_checkpoints_that_cannot_be_loaded_end_the_run_too() -> None:
    job = Job(save_every=100, cannot=frozenset({"rollback"}))
    job.until(350)
    job.until(360, weights_lost=True, is_sound=False)
    assert [(order.verb, order.params.get("to_step")) for order in job.orders[-4:]] == [
        ("apply", 100),
        ("apply", 300),
        ("apply", 0),
        ("stop", None),
    ]


def test_a_loss_that_stays_no_number_goes_back_but_stops_nothing() -> None:
    job = Job(save_every=100)
    job.until(250)
    job.until(251, loss_lost=True, is_sound=False)
    assert job.orders[-1].params["to_step"] == 100
    assert job.orders[-1].text.startswith("The loss stays no number: ")
    alone = Job()
    alone.until(60, loss_lost=True, is_sound=False)
    assert alone.orders == []


def test_below_level_3_lost_weights_are_left_to_a_person() -> None:
    job = Job(2, news=ALL_WELL)
    job.until(20, weights_lost=True, is_sound=False)
    assert job.orders == []


def test_32_checkpoints_are_remembered() -> None:
    job = Job(save_every=100)
    job.until(5000)
    assert len(job.state.checkpoints) == 32
    assert job.state.checkpoints[-1].step == 4900
