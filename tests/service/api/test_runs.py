import base64
import datetime as dt
import uuid

import pytest

from gradwatch_service.api import shapes
from gradwatch_service.domain import Layer, LayerTable
from gradwatch_service.store.silence import silences
from tests.service.api.conftest import Api, problem

NOBODY = "/runs/01890000-0000-7000-8000-000000000000"
LAYERS = LayerTable((Layer("fc1", kind="linear", shape=(8, 4)), Layer("fc2", residual=True)))


def test_a_new_run_is_created_and_shown(api: Api):
    answer = api.post(
        "/runs",
        {"project": "lm", "name": "small", "config": {"lr": 0.1, "nan": "NaN"}, "tags": ["a"]},
    )
    assert answer.status_code == 201
    run = answer.json()
    shapes.Run.model_validate(run)
    assert (run["project"], run["name"], run["state"], run["health"]) == (
        "lm",
        "small",
        "running",
        "ok",
    )
    assert run["config"] == {"lr": 0.1, "nan": "NaN"}
    assert run["tags"] == ["a"]
    assert [attempt["number"] for attempt in run["attempts"]] == [1]
    assert uuid.UUID(run["id"]).version == 7
    assert api.get(f"/runs/{run['id']}").json() == run


def test_the_same_id_finds_the_run_again(api: Api):
    wanted = {"project": "again", "id": str(uuid.uuid4()), "launch_id": "a"}
    first, second = api.post("/runs", wanted), api.post("/runs", wanted)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()


def test_another_launch_opens_the_next_attempt(api: Api):
    wanted = {"project": "again", "id": str(uuid.uuid4())}
    api.post("/runs", {**wanted, "launch_id": "a"})
    run = api.post("/runs", {**wanted, "launch_id": "b", "resume_step": 70}).json()
    assert [(item["launch_id"], item["resume_step"]) for item in run["attempts"]] == [
        ("a", None),
        ("b", 70),
    ]


def test_an_id_of_another_project_is_a_conflict(api: Api):
    identity = str(uuid.uuid4())
    api.post("/runs", {"project": "mine", "id": identity})
    assert problem(api.post("/runs", {"project": "yours", "id": identity})) == (409, "conflict")


def test_layers_are_registered_under_the_hash_both_sides_compute(api: Api):
    layers = [{"name": "fc1", "kind": "linear", "shape": [8, 4]}, {"name": "fc2", "residual": True}]
    run = api.post("/runs", {"project": "lm", "layers": layers}).json()
    assert (run["layers_hash"], run["layers_count"]) == (LAYERS.hash, 2)


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({}, "/project", "missing"),
        ({"project": ""}, "/project", "bad-name"),
        ({"project": "a\nb"}, "/project", "bad-name"),
        ({"project": "\ud800"}, "/project", "bad-name"),
        ({"project": "é" * 257}, "/project", "bad-name"),
        ({"project": 5}, "/project", "string-type"),
        ({"project": "p", "id": "no-uuid"}, "/id", "value-error"),
        ({"project": "p", "id": 5}, "/id", "is-instance-of"),
        ({"project": "p", "resume_step": True}, "/resume_step", "int-type"),
        ({"project": "p", "resume_step": -1}, "/resume_step", "greater-than-equal"),
        ({"project": "p", "config": []}, "/config", "dict-type"),
        ({"project": "p", "config": {"a": "\0"}}, "/config", "bad-text"),
        ({"project": "p", "tags": "a"}, "/tags", "list-type"),
        ({"project": "p", "layers": [{}]}, "/layers/0/name", "missing"),
        ({"project": "p", "layers": [{"name": "a"}] * 2}, "/layers", "duplicate-layer"),
        (
            {"project": "p", "layers": [{"name": "a", "shape": [1.5]}]},
            "/layers/0/shape/0",
            "int-type",
        ),
        ({"project": "p", "surprise": 1}, "", "extra-forbidden"),
    ],
)
def test_a_body_that_breaks_the_contract_is_named(api: Api, body, pointer, code):
    answer = api.post("/runs", body)
    assert problem(answer) == (422, "invalid")
    assert answer.json()["errors"] == [{"pointer": pointer, "code": code}]


def test_an_error_never_repeats_what_was_sent(api: Api):
    answer = api.post("/runs", {"project": 5, "hunter2": "hunter2", "name": ["hunter2"]})
    assert problem(answer) == (422, "invalid")
    assert "hunter2" not in answer.text


def test_a_thousand_errors_fit_one_small_answer(api: Api):
    answer = api.post("/runs", {"project": "p", "layers": [{"name": 5}] * 1000})
    assert problem(answer) == (422, "invalid")
    assert len(answer.json()["errors"]) == 20


@pytest.mark.parametrize("media", ["", "text/plain", "application/x-www-form-urlencoded"])
def test_a_body_that_does_not_say_it_is_json_is_not_read(api: Api, media):
    answer = api.send("POST", "/runs", content=b"{}", headers={"content-type": media})
    assert problem(answer) == (415, "unsupported-media")


@pytest.mark.parametrize("media", ["application/json", "Application/JSON; charset=utf-8"])
def test_json_may_be_announced_in_several_ways(api: Api, media):
    answer = api.send("POST", "/runs", content=b'{"project": "p"}', headers={"content-type": media})
    assert answer.status_code == 201


def test_runs_are_listed_page_by_page_the_newest_first(api: Api):
    paths = [api.new_run(project="listed") for _ in range(5)]
    seen, cursor = [], None
    while True:
        page = api.get(
            "/runs", project="listed", limit=2, **({"cursor": cursor} if cursor else {})
        ).json()
        shapes.Items[shapes.Run].model_validate(page)
        seen += [f"/runs/{run['id']}" for run in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == paths[::-1]


def test_runs_are_filtered(api: Api):
    ended = api.new_run(project="filtered")
    api.new_run(project="filtered")
    api.post(f"{ended}/finish", {"state": "failed"})

    def found(**wanted):
        answer = api.get("/runs", project="filtered", **wanted).json()
        return [f"/runs/{run['id']}" for run in answer["items"]]

    assert found(state="failed") == [ended]
    assert len(found(health="ok")) == 2
    assert found(health="critical") == []


@pytest.mark.parametrize(
    ("wanted", "pointer"),
    [
        ({"limit": 0}, "/query/limit"),
        ({"limit": 501}, "/query/limit"),
        ({"limit": "many"}, "/query/limit"),
        ({"state": "sleeping"}, "/query/state"),
        ({"project": "\0"}, "/query/project"),
        ({"surprise": 1}, "/query"),
    ],
)
def test_a_broken_query_parameter_is_named(api: Api, wanted, pointer):
    answer = api.get("/runs", **wanted)
    assert problem(answer) == (422, "invalid")
    assert answer.json()["errors"][0]["pointer"] == pointer


def cursor_of(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "nonsense",
        "AAAA",
        "é",
        cursor_of("2026-01-01T00:00:00+00:00 no-uuid"),
        cursor_of(f"2026-01-01T00:00:00 {uuid.UUID(int=0)}"),
        cursor_of(f"0001-01-01T00:00:00+14:00 {uuid.UUID(int=0)}"),
    ],
)
def test_a_cursor_nobody_gave_out_is_refused(api: Api, cursor):
    assert problem(api.get("/runs", cursor=cursor)) == (422, "bad-cursor")


def test_a_run_is_renamed_and_tagged(api: Api):
    run = api.new_run(name="before", tags=["a"])
    api.send("PATCH", run, json={"name": "after"})
    changed = api.send("PATCH", run, json={"tags": ["b"]}).json()
    assert (changed["name"], changed["tags"]) == ("after", ["b"])


def test_a_deleted_run_is_gone(api: Api):
    run = api.new_run()
    deleted = api.send("DELETE", run)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert problem(api.get(run)) == (404, "not-found")


def test_a_finished_run_says_how_it_ended(api: Api):
    run = api.new_run()
    answer = api.post(f"{run}/finish", {"state": "failed", "reason": "out of memory"})
    assert answer.status_code == 200
    ended = answer.json()
    assert (ended["state"], ended["finish_reason"]) == ("failed", "out of memory")
    assert ended["finished_at"] is not None


@pytest.mark.parametrize("body", [{}, {"state": "running"}, {"state": "failed", "reason": "\0"}])
def test_an_end_that_is_none_is_refused(api: Api, body):
    assert problem(api.post(f"{api.new_run()}/finish", body)) == (422, "invalid")


def test_events_are_stored(api: Api):
    events = [{"kind": "checkpoint", "step": 5, "path": "/x"}, {"kind": "note"}]
    answer = api.post(f"{api.new_run()}/events", {"events": events})
    assert (answer.status_code, answer.json()) == (201, {"accepted": 2})


def test_events_are_listed_page_by_page_the_newest_first(api: Api):
    run = api.new_run()
    first = [{"kind": "checkpoint", "step": 5, "path": "/x"}, {"kind": "note"}]
    api.post(f"{run}/events", {"events": first})
    api.post(f"{run}/events", {"events": [{"kind": "advice", "step": 7, "id": "its own"}]})
    page = api.get(f"{run}/events", limit=2).json()
    shapes.Items[shapes.EventShape].model_validate(page)
    newest, note = page["items"]
    assert (newest["kind"], newest["step"], newest["id"]) == ("advice", 7, "its own")
    assert (note["kind"], note["step"], note["attempt"]) == ("note", None, 1)
    rest = api.get(f"{run}/events", cursor=page["next_cursor"]).json()
    assert [(one["kind"], one["path"]) for one in rest["items"]] == [("checkpoint", "/x")]
    assert rest["next_cursor"] is None


def test_events_of_no_run_are_not_there(api: Api):
    assert problem(api.get(f"{NOBODY}/events")) == (404, "not-found")


def test_events_under_a_key_are_stored_once(api: Api):
    run, key = api.new_run(), {"idempotency-key": "k"}
    body = {"events": [{"kind": "checkpoint", "step": 5}]}
    answers = [api.post(f"{run}/events", body, **key) for _ in range(2)]
    assert [(one.status_code, one.json()) for one in answers] == [
        (201, {"accepted": 1}),
        (200, {"accepted": 0}),
    ]
    other = api.post(f"{run}/events", {"events": [{"kind": "note"}]}, **key)
    assert problem(other) == (409, "conflict")
    assert problem(api.post(f"{run}/events", body, **{"idempotency-key": "\x7f"})) == (
        422,
        "invalid",
    )


def test_the_end_of_a_silent_run_ends_its_alert(api: Api):
    path, backend = api.new_run(), api.app.state.backend
    with backend.reading() as connection:
        found = silences(connection, backend.clock() + dt.timedelta(hours=1))
    (silence,) = [one for one in found if path.endswith(str(one.run_id))]
    backend.writer.submit(silence).result(60)
    stale = api.get(path).json()
    assert (stale["state"], stale["health"], stale["open_alerts"]) == ("stale", "critical", 1)
    ended = api.post(f"{path}/finish", {"state": "failed"}).json()
    assert (ended["state"], ended["health"], ended["open_alerts"]) == ("failed", "ok", 0)
    (alert,) = api.get("/alerts", run=stale["id"]).json()["items"]
    assert (alert["rule"], alert["state"]) == ("stale-run", "resolved")


@pytest.mark.parametrize(
    ("event", "pointer"),
    [
        ({}, "/events/1/kind"),
        ({"kind": ""}, "/events/1/kind"),
        ({"kind": "note", "step": -1}, "/events/1/step"),
        ({"kind": "note", "step": "5"}, "/events/1/step"),
        ({"kind": "note", "deep": [[[["\0"]]]]}, "/events/1"),
        (5, "/events/1"),
    ],
)
def test_a_broken_event_is_named(api: Api, event, pointer):
    answer = api.post(f"{api.new_run()}/events", {"events": [{"kind": "note"}, event]})
    assert problem(answer) == (422, "invalid")
    assert answer.json()["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", NOBODY, None),
        ("GET", f"{NOBODY}/series?metric=loss", None),
        ("GET", f"{NOBODY}/advice", None),
        ("GET", f"{NOBODY}/guard", None),
        ("GET", NOBODY.replace("runs", "alerts"), None),
        ("PATCH", NOBODY, {"name": "x"}),
        ("DELETE", NOBODY, None),
        ("POST", f"{NOBODY}/events", {"events": [{"kind": "note"}]}),
        ("POST", f"{NOBODY}/finish", {"state": "finished"}),
        ("POST", f"{NOBODY}/steps", {"steps": [{"step": 1}]}),
        ("PUT", f"{NOBODY}/writers/w/frames/0", {"steps": [1]}),
        ("GET", "/runs/no-uuid", None),
        ("PUT", "/runs/no-uuid/writers/w/frames/0", {"steps": [1]}),
        ("GET", "/alerts/no-uuid", None),
        ("GET", "/nothing/here", None),
    ],
)
def test_what_does_not_exist_is_not_found(api: Api, method, path, body):
    assert problem(api.send(method, path, json=body)) == (404, "not-found")


def test_a_method_a_path_does_not_have_is_named(api: Api):
    answer = api.send("PUT", "/runs", json={})
    assert problem(answer) == (405, "method-not-allowed")
    assert set(answer.headers["allow"].split(", ")) <= {"GET", "POST"}
