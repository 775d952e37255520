import re

from gradwatch_service.api.rule_settings import RULES
from gradwatch_service.notify.channels import kinds
from tests.service.api.conftest import Api

ROUTES = {
    "/api/v1/alerts": "get",
    "/api/v1/alerts/{alert_id}": "get",
    "/api/v1/alerts/{alert_id}/acknowledge": "post",
    "/api/v1/alerts/{alert_id}/resolve": "post",
    "/api/v1/projects": "get",
    "/api/v1/projects/{project}/audit": "get",
    "/api/v1/projects/{project}/keys": "get post",
    "/api/v1/projects/{project}/keys/{key_id}": "delete",
    "/api/v1/projects/{project}/keys/{key_id}/rotate": "post",
    "/api/v1/projects/{project}/channels": "get post",
    "/api/v1/projects/{project}/channels/{channel_id}": "delete patch",
    "/api/v1/projects/{project}/channels/{channel_id}/test": "post",
    "/api/v1/projects/{project}/deliveries": "get",
    "/api/v1/projects/{project}/deliveries/{delivery_id}/replay": "post",
    "/api/v1/projects/{project}/rules": "get put",
    "/api/v1/projects/{project}/rules/backtest": "post",
    "/api/v1/runs": "get post",
    "/api/v1/runs/{run_id}": "delete get patch",
    "/api/v1/runs/{run_id}/advice": "get",
    "/api/v1/runs/{run_id}/advice/{advice_id}/hand": "post",
    "/api/v1/runs/{run_id}/events": "get post",
    "/api/v1/runs/{run_id}/finish": "post",
    "/api/v1/runs/{run_id}/guard": "get",
    "/api/v1/runs/{run_id}/heatmap": "get",
    "/api/v1/runs/{run_id}/profile": "get",
    "/api/v1/runs/{run_id}/series": "get",
    "/api/v1/runs/{run_id}/steps": "post",
    "/api/v1/runs/{run_id}/writers/{writer}/frames/{seq}": "put",
    "/api/v1/session": "delete get post",
    "/api/v1/silences": "get post",
    "/api/v1/silences/{silence_id}": "delete",
    "/healthz": "get",
    "/readyz": "get",
}


def document(api: Api):
    return api.send("GET", "http://test/openapi.json").json()


def operations(api: Api):
    paths = document(api)["paths"].values()
    return [operation for path in paths for operation in path.values()]


def test_openapi_lists_every_route(api: Api):
    found = {path: " ".join(sorted(methods)) for path, methods in document(api)["paths"].items()}
    assert found == ROUTES


def test_every_reference_in_openapi_leads_somewhere(api: Api):
    found = document(api)
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', str(found).replace("'", '"')))
    assert references
    assert references <= found["components"]["schemas"].keys()


def test_every_operation_says_what_it_is_for_and_how_it_fails(api: Api):
    for operation in operations(api):
        assert operation["summary"]
        assert operation["description"]
        assert any(status.startswith("2") for status in operation["responses"])
        problem = operation["responses"]["503"]["content"]["application/problem+json"]
        assert problem["schema"] == {"$ref": "#/components/schemas/Problem"}


def test_openapi_says_which_key_an_operation_needs(api: Api):
    found = document(api)
    assert found["components"]["securitySchemes"].keys() == {"key", "session"}
    push = found["paths"]["/api/v1/runs/{run_id}/writers/{writer}/frames/{seq}"]["put"]
    assert push["security"] == [{"key": ["ingest"]}, {"session": ["ingest"]}]
    assert {"401", "403", "429"} <= push["responses"].keys()
    guard = found["paths"]["/api/v1/runs/{run_id}/guard"]["get"]
    assert guard["security"][0] == {"key": ["ingest", "read"]}
    assert found["paths"]["/healthz"]["get"]["security"] == []


def test_openapi_says_what_rules_and_channels_can_be_set_to(api: Api):
    schemas = document(api)["components"]["schemas"]
    rules = schemas["RulesBody"]["properties"]["settings"]
    assert rules["properties"].keys() == RULES.keys()
    spike = rules["properties"]["loss-spike"]
    assert not spike["additionalProperties"]
    assert spike["properties"]["enabled"] == {"type": "boolean"}
    channels = {one["properties"]["kind"]["const"]: one for one in schemas["ChannelBody"]["oneOf"]}
    assert channels.keys() == kinds().keys()
    assert channels["slack"]["properties"]["settings"]["required"] == ["url"]


def test_openapi_says_how_a_silence_ends(api: Api):
    schemas = document(api)["components"]["schemas"]
    ends = [one["required"] for one in schemas["SilenceBody"]["oneOf"]]
    assert ends == [["ends_at"], ["duration"]]


def test_openapi_keeps_the_bounds_of_whole_numbers(api: Api):
    days = document(api)["components"]["schemas"]["KeyBody"]["properties"]["expires_in_days"]
    assert days["anyOf"][0] == {"type": "integer", "minimum": 1, "maximum": 3_650}


def test_no_operation_promises_the_stock_validation_error(api: Api):
    assert "HTTPValidationError" not in str(document(api))


def test_the_page_lists_every_route_and_loads_nothing_from_elsewhere(api: Api):
    answer = api.send("GET", "http://test/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    for path, methods in ROUTES.items():
        for method in methods.split():
            assert f"<dt>{method.upper()} <code>{path}</code><dd>" in answer.text
    assert not re.findall(r"https?://|<script|@import|//[a-z]", answer.text)
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
