import datetime as dt
import uuid
from pathlib import Path

import pytest
from sqlalchemy import Connection

from gradwatch_service.api import shapes
from gradwatch_service.api.delivery_shapes import DeliveryShape
from gradwatch_service.store import deliveries
from gradwatch_service.store.deliveries import Delivery
from tests import alerting
from tests.alerting import NOW, PROJECT
from tests.service.api.conftest import Api, problem, served

CHANNEL = uuid.UUID(int=1)
PATH = f"/projects/{PROJECT}/deliveries"


@pytest.fixture
def quiet(tmp_path: Path):
    """A service of which no worker touches what is planned."""
    with served(tmp_path, embedded_worker=False) as api:
        yield api


def plan(
    api: Api,
    state: str,
    number: int = 0,
    run_id: uuid.UUID | None = None,
    channel_id: uuid.UUID = CHANNEL,
) -> Delivery:
    def write(connection: Connection) -> Delivery:
        made = Delivery(
            run_id=run_id or alerting.new_run(connection),
            delivery_id=uuid.uuid4(),
            channel_id=channel_id,
            project=PROJECT,
            kind="firing",
            body={"reason": "firing-new"},
            created_at=NOW + dt.timedelta(seconds=number),
            due_at=NOW,
            state=state,
            attempts=10,
            error="it answered 500" if state == "dead" else "",
        )
        deliveries.add(connection, made)
        return made

    return api.app.state.backend.write(write)


def test_what_was_sent_and_what_was_given_up_is_listed_newest_first(quiet: Api):
    sent, dead = plan(quiet, "sent", 1), plan(quiet, "dead", 2)
    page = quiet.get(PATH).json()
    shapes.Items[DeliveryShape].model_validate(page)
    assert [one["id"] for one in page["items"]] == [str(dead.delivery_id), str(sent.delivery_id)]
    (found,) = quiet.get(PATH, state="dead").json()["items"]
    assert (found["error"], found["attempts"]) == ("it answered 500", 10)
    assert found["reason"] == "firing-new"
    assert quiet.get("/projects/other/deliveries").json()["items"] == []
    assert problem(quiet.get(PATH, state="lost")) == (422, "invalid")


def test_deliveries_are_listed_page_by_page(quiet: Api):
    made = [str(plan(quiet, "sent", number // 2).delivery_id) for number in range(5)]
    seen, cursor = [], {}
    while cursor is not None:
        page = quiet.get(PATH, limit=2, **cursor).json()
        seen += [one["id"] for one in page["items"]]
        cursor = page["next_cursor"] and {"cursor": page["next_cursor"]}
    assert sorted(seen) == sorted(made)


def test_a_dead_letter_is_sent_once_more(quiet: Api):
    dead = plan(quiet, "dead")
    answer = quiet.post(f"{PATH}/{dead.delivery_id}/replay", {})
    assert answer.status_code == 200
    shown = answer.json()
    DeliveryShape.model_validate(shown)
    assert (shown["id"], shown["state"], shown["attempts"]) == (
        str(dead.delivery_id),
        "pending",
        0,
    )
    assert quiet.get(PATH, state="pending").json()["items"] == [shown]


def test_only_dead_letters_of_the_project_are_sent_once_more(quiet: Api):
    sent, dead = plan(quiet, "sent"), plan(quiet, "dead")
    assert problem(quiet.post(f"{PATH}/{sent.delivery_id}/replay", {})) == (409, "not-dead")
    other = f"/projects/other/deliveries/{dead.delivery_id}/replay"
    assert problem(quiet.post(other, {})) == (404, "not-found")
    assert problem(quiet.post(f"{PATH}/{uuid.uuid4()}/replay", {})) == (404, "not-found")


def test_what_waits_for_a_channel_is_taken_back_when_it_is_switched_off(quiet: Api):
    url = "https://hooks.slack.com/services/T0/B0/s3cret"
    channels = f"/projects/{PROJECT}/channels"
    body = {"kind": "slack", "name": "ops", "settings": {"url": url}}
    channel = uuid.UUID(quiet.post(channels, body).json()["id"])
    waiting = plan(quiet, "pending", channel_id=channel)
    other, sent = plan(quiet, "pending"), plan(quiet, "sent", channel_id=channel)

    def states() -> dict[str, str]:
        return {one["id"]: one["state"] for one in quiet.get(PATH).json()["items"]}

    for enabled, state in ((True, "pending"), (False, "superseded"), (True, "superseded")):
        answer = quiet.send("PATCH", f"{channels}/{channel}", json={"enabled": enabled})
        assert answer.status_code == 200
        assert states() == {
            str(waiting.delivery_id): state,
            str(other.delivery_id): "pending",
            str(sent.delivery_id): "sent",
        }


def test_a_dead_letter_gives_way_to_what_is_newer(quiet: Api):
    dead = plan(quiet, "dead")
    plan(quiet, "pending", run_id=dead.run_id)
    found = problem(quiet.post(f"{PATH}/{dead.delivery_id}/replay", {}))
    assert found == (409, "newer-pending")
