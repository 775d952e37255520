from __future__ import annotations

import uuid

import pytest
from fastapi import APIRouter, FastAPI
from starlette.routing import Mount

from gradwatch_service.api.access.ownership import OwnRun
from gradwatch_service.api.access.policy import (
    Owner,
    Policies,
    Policy,
    PolicyError,
    allows,
    policies_of,
    public,
)
from gradwatch_service.api.access.principal import LOCAL, Principal, Who
from gradwatch_service.errors import Forbidden, NotFound


def gathered(router: APIRouter) -> Policies:
    app = FastAPI(openapi_url=None)
    app.include_router(router, prefix="/api")
    return policies_of(app.routes)


def test_a_policy_is_found_as_the_router_finds_the_route():
    router = APIRouter()

    @router.get("/things/special")
    @public
    def special() -> None: ...

    @router.get("/things/{name}")
    @allows("read", of=Owner.LIST)
    def thing(name: str, who: Who) -> None: ...

    @router.delete("/things/{run_id}")
    @allows("admin", of=Owner.RUN)
    def delete(run_id: OwnRun) -> None: ...

    found = gathered(router)
    assert found.find("GET", "/api/things/special") == Policy(None, Owner.NOBODY)
    assert found.find("GET", "/api/things/other") == Policy(frozenset({"read"}), Owner.LIST)
    assert found.find("DELETE", "/api/things/special") == Policy(frozenset({"admin"}), Owner.RUN)
    assert found.find("PUT", "/api/things/other") is None
    assert found.methods("/api/things/other") == {"GET", "DELETE"}
    assert not found.methods("/api/things/other/more")


@pytest.mark.parametrize("owner", [Owner.RUN, Owner.ALERT, Owner.PATH, Owner.LIST, Owner.WRITER])
def test_who_declares_an_owner_must_check_it(owner: Owner):
    router = APIRouter()

    @router.get("/{run_id}/{alert_id}/{project}")
    @allows("read", of=owner)
    def careless(run_id: uuid.UUID, alert_id: uuid.UUID, project: str) -> None: ...

    with pytest.raises(PolicyError, match="does not depend on"):
        gathered(router)


def test_a_whole_application_that_is_mounted_needs_a_policy_too():
    with pytest.raises(PolicyError, match="does not say who may use it"):
        policies_of([Mount("/static", FastAPI())])


def test_any_of_the_scopes_will_do():
    reader = Principal("lm", frozenset({"read"}), "anna")
    Policy(frozenset({"ingest", "read"}), Owner.RUN).check(reader)
    Policy(frozenset(), Owner.NOBODY).check(reader)
    with pytest.raises(Forbidden, match="admin or ingest"):
        Policy(frozenset({"ingest", "admin"}), Owner.RUN).check(reader)


def test_a_principal_goes_no_further_than_its_project():
    anna = Principal("lm", frozenset({"read"}), "anna")
    assert (anna.narrow(None), anna.narrow("lm")) == ("lm", "lm")
    anna.require("lm")
    anna.claim("lm")
    for project in ("other", None):
        with pytest.raises(NotFound):
            anna.require(project)
    with pytest.raises(NotFound):
        anna.narrow("other")
    with pytest.raises(Forbidden):
        anna.claim("other")


def test_in_local_mode_everything_is_seen():
    assert (LOCAL.narrow(None), LOCAL.narrow("lm")) == (None, "lm")
    for project in ("lm", None):
        LOCAL.require(project)
    LOCAL.claim("lm")
