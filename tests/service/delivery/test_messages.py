import math
import uuid

from gradwatch_service.domain import Severity
from gradwatch_service.ingest.pushes import FramePush
from gradwatch_service.notify.channel import Channel
from gradwatch_service.notify.message import Message
from gradwatch_service.store.channels import ChannelRow
from tests.service.delivery.conftest import Post
from tests.service.ingest.rig import frame_push, make_frame


class Memory:
    """A channel that keeps what it is handed: what a message holds cannot be seen from outside."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def deliver(self, message: Message) -> None:
        self.messages.append(message)

    def open(self, _row: ChannelRow) -> Channel:
        return self


def push(run_id: uuid.UUID, seq: int, steps: range, **scalars: object) -> FramePush:
    return frame_push(run_id, seq, make_frame(steps, **scalars))


def test_a_message_says_what_and_where_and_shows_the_newest_steps(post: Post):
    memory = Memory()
    post.hire(open_channel=memory.open)
    post.channel()
    run = post.run("resnet")
    for push_of_run in (
        push(run, 0, range(600), loss=2.0, grad_norm=8.0),
        push(run, 1, range(600, 610), loss=3.0),
    ):
        post.served.writer.submit(push_of_run).result(30)
    post.alert(run)
    post.alert(run, cause="plateau", severity=Severity.WARNING, actionable=False)
    post.after(0).after(5)
    (message,) = memory.messages
    assert (message.kind, message.run_name, message.run_id) == ("firing", "resnet", run)
    assert message.severity == Severity.ERROR
    first, second = (one for one in message.subjects if one.title == "The gradient explodes")
    assert (first.severity, second.severity) == (Severity.ERROR, Severity.WARNING)
    assert first.is_news
    assert first.is_firing
    assert first.remedies == ("Clip the gradient norm at 1",)
    assert first.ended_at is None
    assert message.steps == tuple(range(98, 610))
    assert message.log2_grad_norm[:502] == (3.0,) * 502
    assert all(math.isnan(norm) for norm in message.log2_grad_norm[502:])
    assert message.loss == (2.0,) * 502 + (3.0,) * 10
    post.alert(run, "resolved", now=post.now)
    post.after(0).after(5)
    (ended,) = (one for one in memory.messages[-1].subjects if one.alert_id == first.alert_id)
    assert not ended.is_firing
    assert ended.ended_at is not None


def test_a_run_that_reported_nothing_has_no_picture(post: Post):
    memory = Memory()
    post.hire(open_channel=memory.open)
    post.channel()
    post.alert(post.run())
    post.after(0).after(5)
    (message,) = memory.messages
    assert (message.steps, message.loss, message.log2_grad_norm) == ((), (), ())
