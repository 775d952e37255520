import uuid

import numpy as np
from sqlalchemy import Engine

from gradwatch_service.store.alerts import AlertFilters, list_alerts
from tests.service.delivery.conftest import Post
from tests.service.ingest.rig import frame_push, make_frame

RANKS = 64


def report(post: Post, run: uuid.UUID, seq: int, loss: np.ndarray) -> None:
    """The same reports from every rank."""
    first = seq * 100
    frame = make_frame(range(first, first + len(loss)), loss=loss, grad_norm=loss)
    pushes = [frame_push(run, seq, frame, f"rank-{rank}") for rank in range(RANKS)]
    for future in [post.served.writer.submit(push) for push in pushes]:
        future.result(60)
    post.served.judged(run)


def states(engine: Engine, run: uuid.UUID) -> set[str]:
    with engine.connect() as connection:
        found = list_alerts(connection, AlertFilters(run_id=run))
    return {str(one["state"]) for one in found.items if one["actionable"]}


def test_an_explosion_on_64_ranks_is_told_once_and_so_is_its_end(post: Post, engine: Engine):
    post.channel()
    run = post.run("llama")
    chance = np.random.default_rng(3)
    calm = [2.0 + 0.05 * chance.standard_normal(count) for count in (60, 100, 100, 100)]
    report(post, run, 0, calm[0])
    assert post.after(0).after(5).heard() == []
    report(post, run, 1, np.full(8, np.nan))
    assert states(engine, run) == {"firing"}
    post.after(0).after(5)
    for seq, loss in enumerate(calm[1:], start=2):
        report(post, run, seq, loss)
        post.after(0)
    assert states(engine, run) == {"resolved"}
    post.after(5).after(5).after(10**5)
    assert [kind for kind, _ in post.heard()] == ["firing", "resolved"]
    assert {one["run_name"] for one in post.listener.heard} == {"llama"}
