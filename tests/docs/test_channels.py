"""The README tells the team as it says: its lines run as printed, and its message is real."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gradwatch_service.notify.escape import slack
from gradwatch_service.notify.words import words_of
from tests.messages import message
from tests.receivers import Receiver
from tests.servers import Server

PAGE = Path(__file__).parents[2] / "README.md"
PRINTED_SLACK = "https://hooks.slack.com/services/T000/B000/XXXX"
PRINTED_SERVICE = "http://127.0.0.1:8321"


def block_after(text: str, language: str) -> str:
    """The first fenced block of a language after a piece of text."""
    rest = PAGE.read_text().split(text, maxsplit=1)[1]
    found = re.search(rf"```{language}\n(.*?)```", rest, flags=re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_a_newcomers_lines_send_a_message(tmp_path: Path, receiver: Receiver) -> None:
    lines = block_after("<!-- test: these lines send a message", "sh")
    assert PRINTED_SLACK in lines
    assert PRINTED_SERVICE in lines
    allowed = {"GRADWATCH_OUTGOING_ALLOW": "127.0.0.1"}
    database = f"sqlite:///{tmp_path}/gradwatch.db"
    server = Server(database, tmp_path / "log", environment=allowed).start()
    try:
        lines = lines.replace(PRINTED_SLACK, f"{receiver.url}/services/T000/B000/XXXX")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", lines.replace(PRINTED_SERVICE, server.url)],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    finally:
        server.kill()
    assert done.stdout.endswith('{"delivered":true}')
    (request,) = receiver.received
    assert request.path == "/services/T000/B000/XXXX"
    assert request.json["text"].startswith("Test: alerts of lm will arrive here")


def test_the_message_in_the_readme_is_what_a_channel_sends() -> None:
    shown = block_after("<!-- test: this is what a message says", "text")
    assert shown.strip() == words_of(message()).text(slack)
