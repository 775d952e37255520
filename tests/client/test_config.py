from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest

from gradwatch import config
from gradwatch.errors import BadConfig

NAMES = ("URL", "API_KEY", "MODE", "ALLOW_HTTP", "AUTOPILOT", "SPOOL")


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(f"GRADWATCH_{name}", raising=False)
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)


def test_the_defaults_are_those_of_the_documentation() -> None:
    settings = config.load()
    assert settings == config.Config(url="http://127.0.0.1:8321", mode="online", rank=0)
    assert (settings.queue_records, settings.queue_bytes) == (1000, 16 << 20)
    assert (settings.backoff_base_seconds, settings.backoff_cap_seconds) == (0.5, 60.0)
    assert settings.auth_pause_seconds == 300.0
    assert settings.absent_cap_seconds == 4.0
    assert (settings.spool_bytes, settings.live_first_bytes) == (512 << 20, 4 << 20)


def test_what_waits_lies_where_it_is_told_to_or_where_the_system_keeps_such_things(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert config.load().spool == tmp_path / ".local" / "state" / "gradwatch" / "spool"
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert config.load().spool == Path("/state/gradwatch/spool")
    monkeypatch.setenv("GRADWATCH_SPOOL", "here")
    assert config.load().spool == Path.cwd() / "here"


def test_a_process_without_a_home_has_no_place_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert config.load().spool == Path(os.devnull, "spool")


def test_arguments_come_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADWATCH_URL", "https://env.example.org/")
    monkeypatch.setenv("GRADWATCH_API_KEY", "from-env")
    monkeypatch.setenv("GRADWATCH_MODE", "disabled")
    monkeypatch.setenv("RANK", "3")
    found = config.load()
    assert (found.url, found.api_key) == ("https://env.example.org", "from-env")
    assert (found.mode, found.rank) == ("disabled", 3)
    given = config.load("https://arg.example.org", "from-arg", "online")
    assert (given.url, given.api_key) == ("https://arg.example.org", "from-arg")
    assert given.mode == "online"


@pytest.mark.parametrize("rank", ["", "-1", "zero"])
def test_an_odd_rank_is_rank_0(monkeypatch: pytest.MonkeyPatch, rank: str) -> None:
    monkeypatch.setenv("RANK", rank)
    assert config.load().rank == 0


@pytest.mark.parametrize("url", ["gradwatch:8321", "ftp://host", "http://", "http://host:x", 42])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(BadConfig, match="GRADWATCH_URL is not an address"):
        config.load(url)


@pytest.mark.parametrize(
    "url",
    ["http://localhost:1", "http://127.8.9.1", "http://[::1]:8321", "http://gw.localhost"],
)
def test_plain_http_is_fine_on_this_machine(url: str) -> None:
    assert config.load(url).url == url
    assert config.is_loopback(httpx.URL(url).host)


def test_plain_http_to_another_machine_needs_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadConfig, match=r"unencrypted to 10\.0\.0\.5; use https, or set"):
        config.load("http://10.0.0.5:8321")
    monkeypatch.setenv("GRADWATCH_ALLOW_HTTP", "1")
    assert config.load("http://10.0.0.5:8321").url == "http://10.0.0.5:8321"


def test_a_host_name_is_another_machine() -> None:
    assert not config.is_loopback("gpu-7.example.org")


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(BadConfig, match="GRADWATCH_MODE is 'on'; use online, offline or disabled"):
        config.load(mode="on")


@pytest.mark.parametrize("key", ["two\nlines", "schlüssel"])
def test_a_key_that_no_header_can_carry_is_refused(key: str) -> None:
    with pytest.raises(BadConfig, match="GRADWATCH_API_KEY"):
        config.load(api_key=key)


def test_the_level_of_the_autopilot_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert config.load().autopilot == 1
    monkeypatch.setenv("GRADWATCH_AUTOPILOT", "3")
    assert config.load().autopilot == 3


@pytest.mark.parametrize("level", ["4", "-1", "on"])
def test_an_unknown_level_is_refused(monkeypatch: pytest.MonkeyPatch, level: str) -> None:
    monkeypatch.setenv("GRADWATCH_AUTOPILOT", level)
    with pytest.raises(BadConfig, match=f"GRADWATCH_AUTOPILOT is '{level}'; use 0, 1, 2 or 3"):
        config.load()


def test_the_docs_name_every_variable() -> None:
    docs = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
    for name in NAMES:
        assert f"| `GRADWATCH_{name}` |" in docs
