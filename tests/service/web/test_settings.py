"""The settings as the server writes them: who sees what of a project, and never a secret."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gradwatch_service.clock import utc_now
from gradwatch_service.detect.rules import catalogue
from gradwatch_service.detect.tuning import thresholds
from gradwatch_service.notify.channels import schemas
from gradwatch_service.store import audit, deliveries
from gradwatch_service.store.deliveries import Delivery
from gradwatch_service.web import acts, channel_fields
from gradwatch_service.web.rule_scales import scale_of
from tests.service.api.conftest import Api, served
from tests.tenants import Keyring

SECRET = "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"  # noqa: S105 - nobody's
WEBHOOK = {
    "kind": "webhook",
    "name": "hook",
    "settings": {"url": "https://hooks.invalid/quiet-path", "secret": SECRET},
}
SECTIONS = ("channels", "keys", "rules", "audit")


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("settings")
    with served(folder, embedded_worker=False) as running:
        yield running


def ring(api: Api) -> Keyring:
    return Keyring(api.app.state.backend.engine)


def open_page(api: Api, path: str, key: dict[str, str] | None = None) -> httpx.Response:
    headers = {"accept": "text/html", **(key or {})}
    return api.send("GET", f"http://test{path}", headers=headers)


def section(api: Api, project: str, name: str, key: dict[str, str] | None = None) -> str:
    answer = open_page(api, f"/settings/{project}/{name}", key)
    assert answer.status_code == 200
    return answer.text


def test_a_service_without_projects_says_how_one_begins(tmp_path: Path):
    with served(tmp_path) as fresh:
        answer = open_page(fresh, "/settings")
    assert answer.status_code == 200
    assert "No project yet" in answer.text


def test_the_settings_lead_to_the_project_that_is_asked_for_or_ran_last(api: Api):
    for project in ("team-one", "team-two"):
        api.new_run(project=project)
    assert open_page(api, "/settings").headers["location"] == "/settings/team-two/channels"
    asked = open_page(api, "/settings?project=team-one&section=rules")
    assert (asked.status_code, asked.headers["location"]) == (303, "/settings/team-one/rules")


def test_a_key_is_led_to_its_own_project_and_no_other_is_there(api: Api):
    key = ring(api).bearer("own", "read")
    assert open_page(api, "/settings", key).headers["location"] == "/settings/own/channels"
    assert open_page(api, "/settings?project=team-one", key).status_code == 404
    for name in SECTIONS:
        assert open_page(api, f"/settings/team-one/{name}", key).status_code == 404
        assert "team-one" not in section(api, "own", name, key)


def test_no_page_holds_the_secret_of_a_channel(api: Api):
    made = api.post("/projects/masked/channels", WEBHOOK).json()
    shown = section(api, "masked", "channels")
    assert f'id="channel-{made["id"]}"' in shown
    assert "https://hooks.invalid/***" in shown
    for secret in (SECRET, "quiet-path"):
        assert not [name for name in SECTIONS if secret in section(api, "masked", name)]


@pytest.mark.parametrize("kind", schemas())
def test_every_kind_has_a_form_that_asks_for_all_its_settings(kind: str):
    schema, form = schemas()[kind], channel_fields.forms()[kind]
    asked = {one.name.removeprefix("settings/"): one for one in form.fields}
    assert asked.keys() == schema["properties"].keys()
    assert {name for name, one in asked.items() if one.required} == set(schema["required"])
    assert form.title != kind
    for name, one in asked.items():
        is_secret = "writeOnly" in json.dumps(schema["properties"][name])
        assert (one.control == "secret") == is_secret
        assert one.default is None or not is_secret


def deliver(api: Api, run: str, channel_id: str, state: str, error: str) -> Delivery:
    now = utc_now()
    row = Delivery(
        run_id=uuid.UUID(run.rpartition("/")[2]),
        delivery_id=uuid.uuid4(),
        channel_id=uuid.UUID(channel_id),
        project="told",
        kind="firing",
        body={"reason": "firing"},
        created_at=now,
        due_at=now,
        state=state,  # type: ignore[arg-type]
        attempts=9,
        error=error,
        attempted_at=now,
        settled_at=now,
    )
    api.app.state.backend.write(lambda connection: deliveries.add(connection, row))
    return row


def test_a_channel_tells_how_its_last_message_went_and_what_was_given_up(api: Api):
    channel = api.post("/projects/told/channels", {**WEBHOOK, "name": "mute"}).json()["id"]
    other = api.post("/projects/told/channels", {**WEBHOOK, "name": "new"}).json()["id"]
    run = api.new_run(project="told", name="dies")
    deliver(api, run, channel, "sent", "")
    dead = deliver(api, run, channel, "dead", "it answered 410")
    shown = section(api, "told", "channels")
    card, rest = re.split(f'id="channel-{other}"', shown)
    assert "given up" in card
    assert "it answered 410" in card
    assert "none so far" not in card
    assert "none so far" in rest
    assert f'id="letter-{dead.delivery_id}"' in rest
    assert f'<a href="/runs/{dead.run_id}">dies</a>' in rest


def test_every_threshold_of_every_rule_is_there_with_its_limits(api: Api):
    api.put(
        "/projects/ruled/rules",
        b'{"settings": {"loss-spike": {"rise": 0.5, "enabled": false}}}',
        "application/json",
    )
    shown = section(api, "ruled", "rules")
    for rule in catalogue():
        assert f'data-rule="{rule.id}"' in shown
        for one in thresholds(rule):
            (tag,) = re.findall(f'<input[^>]*name="settings/{rule.id}/{one.name}"[^>]*>', shown)
            assert f'min="{one.low}" max="{one.high}"' in tag
            is_set = (rule.id, one.name) == ("loss-spike", "rise")
            assert f'value="{0.5 if is_set else one.default}"' in tag
    (switch,) = re.findall('<input[^>]*name="settings/loss-spike/enabled"[^>]*>', shown)
    assert "checked" not in switch
    assert "Last set" in shown


@pytest.mark.parametrize(
    ("low", "high", "unit", "scale"),
    [
        (1e-12, 1e-3, "", "log"),
        (1.05, 1e6, "times", "log"),
        (0.25, 64.0, "bits", "linear"),  # a power of two is a logarithm already
        (6.0, 100.0, "", "linear"),
        (0.0, 1.0, "share", "linear"),
    ],
)
def test_only_what_spans_orders_of_magnitude_has_a_logarithmic_slider(
    low: float, high: float, unit: str, scale: str
):
    assert scale_of(low, high, unit) == scale


def test_who_may_only_read_sees_channels_and_rules_and_why_the_rest_is_closed(api: Api):
    api.post("/projects/shared/channels", {**WEBHOOK, "name": "ours"})
    issued = ring(api).issue("shared", "read")
    key = {"authorization": f"Bearer {issued.text}"}
    shown = section(api, "shared", "channels", key)
    assert "ours" in shown
    actions = re.findall(r'<button[^>]*data-act="[^>]*>', shown)
    assert actions
    assert all("disabled" in one and 'aria-describedby="why-not"' in one for one in actions)
    assert 'id="why-not"' in shown
    assert 'data-may=""' in section(api, "shared", "rules", key)
    assert issued.key.key_id not in section(api, "shared", "keys", key)
    assert "session-begun" not in section(api, "shared", "audit", key)
    assert "shown to admins" in section(api, "shared", "audit", key)


def test_an_admin_sees_the_keys_and_which_one_is_theirs(api: Api):
    keys = ring(api)
    mine, gone = keys.issue("lm", "admin"), keys.issue("lm", "ingest")
    keys.revoke(gone.key.key_id)
    shown = section(api, "lm", "keys", {"authorization": f"Bearer {mine.text}"})
    assert mine.text not in shown
    own, over = (
        re.findall(f'<tr id="key-{one.key.key_id}".*?</tr>', shown, re.DOTALL)[0]
        for one in (mine, gone)
    )
    assert "yours, now" in own
    assert "yours, now" not in over
    assert 'data-act="revoke"' in own
    assert 'data-act="revoke"' not in over
    assert 'id="make"' in shown


def test_where_nobody_is_known_keys_are_for_the_command_line(api: Api):
    shown = section(api, "lm", "keys")
    assert "gradwatch keys create --project lm" in shown
    assert 'id="make"' not in shown


def test_the_audit_log_is_read_page_by_page_in_sentences(api: Api):
    def fill(connection) -> None:
        for number in range(51):
            detail = {"name": f"key {number}", "scopes": ["read"]}
            audit.note(connection, "long", "anna", "key-made", "id", detail, now=utc_now())

    api.app.state.backend.write(fill)
    first = section(api, "long", "audit")
    assert first.count('id="act-') == 50
    assert "made the key <strong>key 50</strong>" in first
    (cursor,) = re.findall(r'href="\?cursor=([^"]+)">Older', first)
    older = section(api, "long", f"audit?cursor={cursor}")
    assert "made the key <strong>key 0</strong>" in older
    assert older.count('id="act-') == 1
    assert "Older</a>" not in older


def test_an_act_is_told_by_its_name_its_object_and_what_else_was_noted():
    entry = {"act": "channel-changed", "target": "7", "detail": {"name": "chat", "enabled": False}}
    assert (acts.what("channel-changed"), acts.to_what(entry), acts.more(entry)) == (
        "changed the channel", "chat", "enabled: no",
    )  # fmt: skip
    assert acts.to_what({"act": "rules-set", "target": "lm", "detail": {}}) == ""
    unknown = {"act": "moon-seen", "target": "moon", "detail": {}}
    assert (acts.what("moon-seen"), acts.to_what(unknown)) == ("moon seen", "moon")


def test_every_act_that_the_service_notes_has_its_own_words():
    source = Path(acts.__file__).parents[1]
    noted = {
        act
        for path in source.rglob("*.py")
        for act in re.findall(
            r'"((?:channel|delivery|key|rules|run|session|silence)-'
            r'(?:made|changed|deleted|replayed|rotated|revoked|set|begun))"',
            path.read_text(),
        )
    }
    assert noted == acts.ACTS.keys()
