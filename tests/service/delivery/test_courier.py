import datetime as dt
import uuid
from typing import Any

import pytest
import sqlalchemy as sa

from gradwatch_service.delivery.claims import Claim, claim
from gradwatch_service.delivery.plan import Plan, plans
from gradwatch_service.delivery.settlement import Outcome
from gradwatch_service.domain import Severity
from gradwatch_service.notify.channel import Channel, UndeliveredError
from gradwatch_service.notify.message import Message
from gradwatch_service.notify.policy import Timing
from gradwatch_service.settings import Settings
from gradwatch_service.store import letters
from gradwatch_service.store.channels import ChannelRow
from gradwatch_service.store.deliveries import Delivery, channels_due
from gradwatch_service.store.deliveries import add as add_delivery
from gradwatch_service.store.notice_tables import deliveries as delivery_table
from gradwatch_service.store.outbox import Change, note
from gradwatch_service.store.runs import delete_run
from gradwatch_service.store.silences import Matcher, Silence, add
from gradwatch_service.store.tables import alerts as alert_table
from gradwatch_service.store.team_tables import channels as channel_table
from gradwatch_service.store.team_tables import heartbeats
from tests.alerting import NOW, PROJECT
from tests.listener import open_plain
from tests.servers import poll
from tests.service.delivery.conftest import Post, threads


def plans_of(post: Post) -> tuple[Plan, ...]:
    with post.served.reading() as connection:
        return plans(connection, post.now, Timing())


def write_plans(post: Post) -> None:
    for plan in plans_of(post):
        post.write(plan.write)


def due(run: uuid.UUID, channel: uuid.UUID, at: dt.datetime, **more: Any) -> Delivery:
    body = {"reason": "", "run_name": "job", "repeats": False, "at": NOW.isoformat()}
    body |= {"told": {}, "subjects": []}
    return Delivery(run, uuid.uuid4(), channel, PROJECT, "firing", body, NOW, at, **more)


def states(post: Post) -> list[str]:
    return [one.state for one in post.deliveries()]


def test_a_run_is_told_once_with_all_its_alerts_and_once_that_it_is_over(post: Post):
    post.channel()
    run = post.run("resnet")
    post.alert(run)
    assert post.after(0).heard() == []
    post.alert(run, cause="bad-initialisation")
    assert post.after(5).heard() == [("firing", 2)]
    assert post.after(1000).heard() == [("firing", 2)]
    post.alert(run, "resolved")
    assert post.after(1000).heard() == [("firing", 2)]
    post.alert(run, "resolved", cause="bad-initialisation")
    assert post.after(0).heard() == [("firing", 2)]
    assert post.after(5).heard() == [("firing", 2), ("resolved", 0)]
    assert post.after(10**6).heard() == [("firing", 2), ("resolved", 0)]
    first, last = post.listener.heard
    assert first["link"] == f"https://watch.example/runs/{run}"
    assert (first["run_name"], first["titles"]) == ("resnet", ["The gradient explodes"] * 2)
    assert first["id"] != last["id"]
    assert post.waiting() == 0


def test_what_nobody_has_to_be_woken_for_comes_along(post: Post):
    post.channel()
    run = post.run()
    post.alert(run, actionable=False, cause="plateau")
    assert post.after(1000).heard() == []
    post.alert(run)
    assert post.after(0).after(5).heard() == [("firing", 2)]


def test_every_channel_is_told_what_it_wants(post: Post):
    post.channel("/all")
    post.channel("/grave", min_severity="critical")
    post.channel("/brief", send_resolved=False)
    post.channel("/off", enabled=False)
    run = post.run()
    post.alert(run)
    post.after(0).after(5)
    post.alert(run, severity=Severity.CRITICAL)
    post.after(0).after(5)
    post.alert(run, "resolved")
    post.after(0).after(5).after(10**6)
    assert post.heard("/all") == [("firing", 1), ("firing", 1), ("resolved", 0)]
    assert post.heard("/grave") == [("firing", 1), ("resolved", 0)]
    assert post.heard("/brief") == [("firing", 1), ("firing", 1)]
    assert post.heard("/off") == []


def test_what_still_fires_is_repeated_and_says_so(post: Post):
    post.channel()
    run = post.run()
    post.alert(run)
    post.after(0).after(5).after(4 * 3600 - 10)
    assert len(post.heard()) == 1
    post.after(20)
    assert [one["repeats"] for one in post.listener.heard] == [False, True]
    post.alert(run, "acknowledged")
    assert len(post.after(4 * 3600).heard()) == 2


def test_a_silence_keeps_quiet_until_it_ends(post: Post):
    post.channel()
    run = post.run()
    matchers = (Matcher("run", "=", str(run)),)
    end = NOW + dt.timedelta(hours=1)
    silence = Silence(uuid.uuid4(), PROJECT, matchers, "known", "me", NOW, end, NOW)
    post.write(lambda connection: add(connection, silence))
    post.alert(run)
    assert post.after(0).after(60).heard() == []
    assert post.after(3600).after(5).heard() == [("firing", 1)]


def test_what_fails_for_a_while_is_tried_again_under_the_same_id(post: Post):
    post.channel()
    post.alert(post.run())
    post.listener.answers["/ops"] = 503
    post.after(0).after(5)
    (delivery,) = post.deliveries()
    assert (delivery.state, delivery.attempts) == ("pending", 1)
    assert delivery.error == "it answered 503"
    post.after(6.1).after(3)
    assert post.deliveries()[0].attempts == 2
    del post.listener.answers["/ops"]
    post.after(37)
    (told,) = post.listener.heard
    assert told["id"] == str(delivery.delivery_id)
    assert [(one.state, one.attempts) for one in post.deliveries()] == [("sent", 3)]


def test_the_other_side_may_say_when_to_come_back(post: Post):
    post.channel()
    post.alert(post.run())
    post.listener.answers["/ops"], post.listener.retry_after = 503, "100"
    post.after(0).after(5)
    assert post.deliveries()[0].due_at == post.now + dt.timedelta(seconds=100)


def test_what_was_never_received_is_a_dead_letter_after_ten_tries_over_a_day(post: Post):
    post.channel()
    post.alert(post.run())
    post.listener.answers["/ops"] = 500
    post.after(0).after(5)
    begun = post.now
    while post.deliveries()[0].state == "pending":
        post.after(max((post.deliveries()[0].due_at - post.now).total_seconds(), 1.0))
    assert post.deliveries()[0].attempts == 10
    assert 18 <= (post.now - begun).total_seconds() / 3600 <= 30


def test_a_permanent_refusal_is_a_dead_letter_at_once_and_not_tried_as_news(post: Post):
    post.channel()
    run = post.run()
    post.alert(run)
    post.listener.answers["/ops"] = 404
    post.after(0).after(5).after(60)
    assert states(post) == ["dead"]
    post.alert(run, severity=Severity.CRITICAL)
    post.after(0).after(5).after(60)
    assert states(post) == ["dead", "dead"]
    post.alert(run, "resolved")
    post.after(0).after(5).after(10**6)
    assert states(post) == ["dead", "dead"]  # the end of what never arrived is not told
    assert post.notice().due_at is None


def test_the_end_of_what_was_told_is_given_up_only_once(post: Post):
    post.channel()
    run = post.run()
    post.alert(run)
    post.after(0).after(5)
    post.listener.answers["/ops"] = 404
    post.alert(run, "resolved")
    post.after(0).after(5).after(60).after(10**6)
    assert states(post) == ["sent", "dead"]


def test_a_dead_letter_is_sent_once_more_when_somebody_asks(post: Post):
    post.channel()
    run = post.run()
    post.alert(run)
    post.listener.answers["/ops"] = 404
    post.after(0).after(5)
    (dead,) = post.deliveries()
    del post.listener.answers["/ops"]
    post.write(lambda c: letters.replay(c, PROJECT, dead.delivery_id, post.now))
    assert post.after(0).heard() == [("firing", 1)]
    assert post.listener.heard[0]["id"] == str(dead.delivery_id)
    post.alert(run, "resolved")
    assert post.after(0).after(5).heard() == [("firing", 1), ("resolved", 0)]


def test_a_dead_letter_sent_once_more_after_all_is_over_is_followed_by_the_end(post: Post):
    post.channel()
    run = post.run()
    post.alert(run)
    post.listener.answers["/ops"] = 404
    post.after(0).after(5)
    (dead,) = post.deliveries()
    del post.listener.answers["/ops"]
    post.alert(run, "resolved")
    post.after(0).after(60)
    post.write(lambda c: letters.replay(c, PROJECT, dead.delivery_id, post.now))
    assert post.after(0).after(5).heard() == [("firing", 1), ("resolved", 0)]


def test_the_end_of_what_never_left_is_not_told(post: Post):
    post.channel()
    run, other = post.run(), post.run()
    post.listener.gate.clear()
    post.alert(other)
    courier = post.hire()
    courier.beat()
    post.now += dt.timedelta(seconds=5)
    courier.beat()
    post.listener.arrived.wait(10)  # the channel is busy with the other run
    post.alert(run)
    courier.beat()
    post.now += dt.timedelta(seconds=5)
    courier.beat()
    post.alert(run, "resolved")
    courier.beat()
    post.listener.gate.set()
    poll(lambda: not threads(), "the other run is told")
    post.after(60)
    assert post.heard() == [("firing", 1)]
    assert sorted(states(post)) == ["sent", "superseded"]


def test_what_is_on_its_way_gives_way_to_what_is_newer(post: Post):
    post.channel()
    run = post.run()
    post.alert(run)
    post.listener.answers["/ops"] = 503
    post.after(0).after(5)
    post.alert(run, "resolved")
    del post.listener.answers["/ops"]
    post.after(0).after(5)
    # The first may have arrived although it seemed to fail: its end is told.
    assert post.heard() == [("resolved", 0)]
    assert states(post) == ["superseded", "sent"]


def test_a_storm_becomes_a_digest_and_nothing_is_dropped(post: Post):
    post.channel()
    runs = [post.run(f"job-{number}") for number in range(30)]
    for run in runs:
        post.alert(run)
    post.after(0).after(5)
    for _ in range(20):
        post.after(0)
    assert [one["kind"] for one in post.listener.heard] == ["firing"] * 9 + ["digest"]
    digest = post.listener.heard[-1]
    assert (digest["run_name"], len(digest["runs"])) == ("21 runs", 21)
    assert digest["link"] == "https://watch.example/"
    assert {run for one in post.listener.heard for run in one["runs"]} == set(map(str, runs))
    assert states(post) == ["sent"] * 30
    for run in runs:
        post.alert(run, "resolved")
    post.after(0).after(5)
    assert len(post.listener.heard) == 10
    post.after(60)
    for _ in range(20):
        post.after(0)
    assert [one["kind"] for one in post.listener.heard[10:]] == ["resolved"] * 9 + ["digest"]
    assert post.listener.heard[-1]["firing"] == []


def test_a_digest_that_failed_goes_out_again_as_it_was(post: Post):
    post.channel()
    for _ in range(12):
        post.alert(post.run())
    post.after(0)
    post.listener.answers["/ops"] = 503
    post.after(5)
    for _ in range(10):
        post.after(0.1)
    digested = {one.digest_id for one in post.deliveries()} - {None}
    assert len(digested) == 1
    del post.listener.answers["/ops"]
    for _ in range(12):
        post.after(61)
    ids = [one["id"] for one in post.listener.heard]
    assert len(ids) == len(set(ids))
    assert str(*digested) in ids
    assert states(post) == ["sent"] * 12


def test_one_message_at_a_time_goes_to_a_channel_whoever_sends(post: Post):
    post.channel()
    post.channel("/other")
    for _ in range(3):
        post.alert(post.run())
    both = [post.hire(), post.hire()]
    post.listener.gate.clear()
    both[0].beat()
    post.now += dt.timedelta(seconds=5)
    for _ in range(3):
        for courier in both:
            courier.beat()
    assert len(threads()) == 2  # one for each channel
    leased = [one for one in post.deliveries() if one.attempts]
    assert len({one.channel_id for one in leased}) == len(leased) == 2
    post.listener.gate.set()
    poll(lambda: not threads(), "both are settled")
    for _ in range(3):
        post.after(0)
    assert post.heard() == post.heard("/other") == [("firing", 1)] * 3


def test_what_a_worker_that_died_was_sending_is_sent_again_under_the_same_id(post: Post):
    post.channel()
    post.alert(post.run())
    heir = post.hire()
    heir.beat()
    post.now += dt.timedelta(seconds=5)
    write_plans(post)
    key = (PROJECT, post.deliveries()[0].channel_id)
    lease = dt.timedelta(seconds=30)
    assert post.write(lambda c: claim(c, key, post.now, lease, 10)) is not None  # and then it dies
    heir.beat()
    assert threads() == []
    post.now += dt.timedelta(seconds=31)
    heir.beat()
    poll(lambda: len(post.listener.heard) == 1, "another worker sends it")
    poll(lambda: states(post) == ["sent"], "it is settled")
    assert post.listener.heard[0]["id"] == str(post.deliveries()[0].delivery_id)
    assert post.deliveries()[0].attempts == 2


def test_a_channel_that_takes_too_long_is_given_up_and_what_it_says_late_counts_for_nothing(
    post: Post,
):
    object.__setattr__(post.served, "settings", Settings(delivery_timeout_seconds=0.2))
    post.channel()
    post.alert(post.run())
    post.listener.gate.clear()
    courier = post.hire()
    courier.beat()
    post.now += dt.timedelta(seconds=5)
    courier.beat()
    assert post.listener.arrived.wait(10)

    def is_given_up() -> bool:
        courier.beat()
        return post.deliveries()[0].error == "no answer within 0.2 s"

    poll(is_given_up, "it is given up")
    (delivery,) = post.deliveries()
    assert (delivery.state, delivery.attempts) == ("pending", 1)
    post.listener.gate.set()
    poll(lambda: not threads(), "it answers at last")
    assert states(post) == ["pending"]


def test_a_channel_that_breaks_does_not_stop_the_others(
    post: Post, caplog: pytest.LogCaptureFixture
):
    broken = post.channel("/broken")
    post.channel("/ops")

    class Broken:
        def deliver(self, message: Message) -> None:
            raise KeyError(message.run_name)

    def open_one(row: ChannelRow) -> Channel:
        return Broken() if row.channel_id == broken else open_plain(row)

    post.hire(open_channel=open_one)
    post.alert(post.run())
    post.after(0).after(5)
    assert post.heard() == [("firing", 1)]
    assert {one.error for one in post.deliveries()} == {"", "KeyError in the channel"}
    assert "KeyError" in caplog.text


def test_a_message_that_cannot_be_built_does_not_block_its_channel(
    post: Post, caplog: pytest.LogCaptureFixture
):
    post.channel()
    broken, run = post.run(), post.run()
    post.alert(broken)
    post.alert(run)
    post.after(0)
    post.now += dt.timedelta(seconds=5)
    write_plans(post)
    spoilt = sa.update(delivery_table).where(delivery_table.c.run_id == broken).values(body={})
    post.write(lambda connection: connection.execute(spoilt).rowcount)
    assert post.after(0).heard() == [("firing", 1)]
    assert {one.error for one in post.deliveries()} == {"", "KeyError in the channel"}
    assert "KeyError" in caplog.text


def test_a_run_that_cannot_be_planned_does_not_stop_the_others(
    post: Post, caplog: pytest.LogCaptureFixture
):
    post.channel()
    broken, run = post.run(), post.run()
    post.alert(broken, severity=Severity.CRITICAL)
    post.alert(run)
    spoilt = sa.update(alert_table).where(alert_table.c.run_id == broken).values(body={})
    post.write(lambda connection: connection.execute(spoilt).rowcount)
    assert post.after(0).after(5).heard() == [("firing", 1)]
    assert f"run {broken} cannot be planned" in caplog.text
    assert post.waiting() == 1


def test_what_is_due_is_sent_although_nothing_can_be_planned(
    post: Post,
):
    post.channel()
    post.alert(post.run())
    post.after(0)
    post.now += dt.timedelta(seconds=5)
    write_plans(post)
    post.write(lambda c: c.execute(sa.text("DROP TABLE outbox")).rowcount)
    with pytest.raises(sa.exc.DBAPIError):
        post.couriers[0].beat()
    poll(lambda: not threads(), "it is sent")
    assert post.heard() == [("firing", 1)]


def test_channels_that_are_switched_off_do_not_keep_others_waiting(post: Post):
    run = post.run()
    for number in range(70):
        off = post.channel(f"/off{number}", enabled=False)
        post.write(lambda c, off=off: add_delivery(c, due(run, off, NOW)))
    on = post.channel()
    post.write(lambda c: add_delivery(c, due(run, on, NOW + dt.timedelta(seconds=1))))
    post.now += dt.timedelta(seconds=1)
    with post.served.reading() as connection:
        assert channels_due(connection, post.now) == ((PROJECT, on),)
    courier = post.hire()
    courier.beat()
    poll(lambda: not threads(), "it is sent")
    assert post.heard() == [("firing", 0)]


def test_channels_that_have_had_enough_do_not_keep_others_waiting(post: Post):
    run = post.run()
    for number in range(70):
        full = post.channel(f"/full{number}")
        post.write(lambda c, full=full: add_delivery(c, due(run, full, NOW)))
        sent = [due(run, full, NOW, state="sent", attempted_at=NOW) for _ in range(10)]
        post.write(lambda c, sent=sent: [add_delivery(c, one) for one in sent])
    free = post.channel()
    post.write(lambda c: add_delivery(c, due(run, free, NOW + dt.timedelta(seconds=1))))
    post.now += dt.timedelta(seconds=1)
    courier = post.hire()
    courier.beat()
    poll(lambda: not threads(), "it is sent")
    assert post.heard() == [("firing", 0)]
    assert len(post.listener.heard) == 1


def test_what_waits_for_a_channel_that_is_switched_off_is_taken_back(post: Post):
    off = post.channel()
    run = post.run()
    post.alert(run)
    post.after(0)
    post.now += dt.timedelta(seconds=5)
    write_plans(post)
    assert states(post) == ["pending"]
    post.switch(off, enabled=False)
    assert states(post) == ["superseded"]
    post.after(10).switch(off, enabled=True)
    assert post.after(10**6).heard() == []
    post.alert(run, severity=Severity.CRITICAL)
    assert post.after(0).after(5).heard() == [("firing", 1)]


def test_what_was_being_sent_when_its_channel_was_switched_off_is_not_tried_again(post: Post):
    off = post.channel()
    post.alert(post.run())
    post.listener.answers["/ops"] = 503
    post.listener.gate.clear()
    courier = post.hire()
    courier.beat()
    post.now += dt.timedelta(seconds=5)
    courier.beat()
    assert post.listener.arrived.wait(10)
    post.switch(off, enabled=False)
    assert states(post) == ["pending"]
    post.listener.gate.set()
    poll(lambda: not threads(), "it is settled")
    courier.beat()
    assert states(post) == ["superseded"]
    assert post.notice().told != {}  # it may have arrived


def test_a_digest_stays_whole_although_some_of_it_was_tried_before(post: Post):
    channel, digest = post.channel(), uuid.uuid4()
    until = NOW + dt.timedelta(seconds=30)
    parts = [
        due(post.run(), channel, NOW, attempts=tries, digest_id=digest, lease_until=until)
        for tries in (3, 1, 2)
    ]
    post.write(lambda c: [add_delivery(c, one) for one in parts])
    outcome = Outcome(Claim(tuple(parts), until), UndeliveredError("503", permanent=False))
    post.write(lambda c: outcome.write(c, NOW))
    (again,) = {one.due_at for one in post.deliveries()}
    assert 4 <= (again - NOW).total_seconds() <= 6


def test_a_channel_that_is_gone_is_not_told_and_nothing_waits_for_it(post: Post):
    gone = post.channel()
    post.channel("/ops2")
    run = post.run()
    post.alert(run)
    post.listener.answers["/ops"] = 503
    post.after(0).after(5)
    statement = sa.delete(channel_table).where(channel_table.c.channel_id == gone)
    post.write(lambda connection: connection.execute(statement).rowcount)
    post.after(60)
    assert sorted(states(post)) == ["sent", "superseded"]


def test_a_run_that_is_deleted_takes_its_messages_with_it(post: Post):
    post.channel()
    run = post.run()
    post.alert(run)
    post.after(0)
    post.write(lambda connection: delete_run(connection, run))
    assert post.after(60).heard() == []
    assert post.deliveries() == []


def test_a_run_that_is_deleted_while_it_is_planned_leaves_nothing(post: Post):
    post.channel()
    run = post.run()
    post.alert(run)
    post.after(0)
    post.now += dt.timedelta(seconds=5)
    found = plans_of(post)
    assert [len(plan.steps) for plan in found] == [1]
    post.write(lambda connection: delete_run(connection, run))
    left = Change(run, uuid.uuid4(), PROJECT, 1)
    post.write(lambda connection: note(connection, [left], post.now))
    for plan in found:
        post.write(plan.write)
    assert post.deliveries() == []
    assert post.waiting() == 0
    assert plans_of(post) == ()


def test_what_changes_while_it_is_planned_is_looked_at_again(post: Post):
    post.channel()
    run = post.run()
    post.alert(run)
    found = plans_of(post)
    post.alert(run)
    for plan in found:
        post.write(plan.write)
    assert post.waiting() == 1


def test_a_worker_shows_its_life_until_it_ends(post: Post):
    courier = post.hire()
    courier.beat()
    post.now += dt.timedelta(seconds=2)
    courier.beat()

    def beats() -> list[tuple[str, dt.datetime]]:
        with post.served.reading() as connection:
            return [tuple(row) for row in connection.execute(sa.select(heartbeats))]

    assert beats() == [(courier.name, NOW)]
    post.now += dt.timedelta(seconds=3)
    courier.beat()
    assert beats() == [(courier.name, NOW + dt.timedelta(seconds=5))]
    courier.close()
    assert beats() == []
