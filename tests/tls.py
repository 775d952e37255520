"""A server that speaks TLS, with a certificate of our own making."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.servers import START_DEADLINE_SECONDS, Server, poll

OPENSSL = shutil.which("openssl")
# uvicorn's own options, which ``gradwatch serve`` leaves to a proxy.
PROGRAM = """
import functools, sys, uvicorn
from gradwatch_service.commands import serve
uvicorn.Config = functools.partial(uvicorn.Config, ssl_certfile={path!r}, ssl_keyfile={path!r})
sys.exit(serve(sys.argv[1:]))
"""


@contextmanager
def speaking_tls(database_url: str, folder: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """The address of a started server; whoever trusts nothing but known names has to be told."""
    certificate = _certificate(folder)
    program = PROGRAM.format(path=str(certificate))
    server = Server(database_url, folder / "tls.log", program=program, environment=environment)
    server.launch()
    address = f"https://127.0.0.1:{server.port}"
    trusting = ssl.create_default_context(cafile=certificate)
    try:
        poll(lambda: _is_ready(address, trusting), "the server is ready", START_DEADLINE_SECONDS)
        yield address
    finally:
        server.kill()


def _is_ready(address: str, trusting: ssl.SSLContext) -> bool:
    try:
        return httpx.get(f"{address}/readyz", verify=trusting, trust_env=False).is_success
    except httpx.TransportError:
        return False


def _certificate(folder: Path) -> Path:
    """A key, and beside it what says that it is 127.0.0.1's, signed by itself."""
    if OPENSSL is None:
        pytest.skip("no openssl: apt-get install openssl")
    key, path = folder / "key.pem", folder / "certificate.pem"
    command = [
        OPENSSL, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
        "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", path,
    ]  # fmt: skip
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + key.read_bytes())
    return path
