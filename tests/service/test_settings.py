from pathlib import Path

import pytest
from pydantic import ValidationError

from gradwatch_service.settings import Settings


def test_without_anything_set_a_laptop_is_served(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("GRADWATCH_DATABASE_URL", raising=False)
    settings = Settings()
    assert settings.database_url == "sqlite:///gradwatch.db"
    assert (settings.host, settings.port) == ("127.0.0.1", 8321)
    assert not settings.needs_key


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRADWATCH_DATABASE_URL", "sqlite:///elsewhere.db")
    monkeypatch.setenv("GRADWATCH_EMBEDDED_WORKER", "false")
    settings = Settings()
    assert settings.database_url == "sqlite:///elsewhere.db"
    assert not settings.embedded_worker


def test_what_is_given_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRADWATCH_PORT", "1111")
    assert Settings(port=2222).port == 2222


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_on_loopback_no_key_is_needed_unless_it_is_wanted(host):
    assert not Settings(host=host).needs_key
    assert Settings(host=host, require_key=True).needs_key


@pytest.mark.parametrize("host", ["::", "10.0.0.5", "example.org", ""])
def test_on_every_other_address_a_key_is_needed_unless_it_is_not_wanted(host):
    assert Settings(host=host).needs_key
    assert not Settings(host=host, allow_unauthenticated=True).needs_key
    assert Settings(host=host, allow_unauthenticated=True, require_key=True).needs_key


def test_on_loopback_only_its_own_names_lead_to_the_service_unless_others_are_listed():
    assert Settings().hosts == frozenset()
    assert Settings(allowed_hosts="A.example, b.example").hosts == {"a.example", "b.example"}
    assert Settings(allowed_hosts="*").hosts is None


def test_where_a_key_is_needed_any_name_leads_to_the_service_unless_some_are_listed():
    assert Settings(require_key=True).hosts is None
    assert Settings(host="10.0.0.5", allow_unauthenticated=True).hosts is None
    assert Settings(host="10.0.0.5", allowed_hosts="a.example").hosts == {"a.example"}


@pytest.mark.parametrize("wrong", [{"port": -1}, {"port": 70_000}, {"body_bytes_max": 0}])
def test_a_setting_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValidationError):
        Settings(**wrong)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_docs_give_every_setting_with_its_default(name: str) -> None:
    docs = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
    field = Settings.model_fields[name]
    default = str(field.default).lower() if isinstance(field.default, bool) else field.default
    assert f"| `GRADWATCH_{name.upper()}` | `{default}` | {field.description} |" in docs
