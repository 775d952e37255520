"""Who receives the reports of W4, in a process of its own: the service, else a stand-in."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec

SERVE, STAND_IN = "serve", "stand-in"
HOST = "127.0.0.1"
# An armed guard that never has to act: the job asks it at every step, as with the real service.
GUARD = {
    "max_norm": 1e9,
    "skip_above": None,
    "skip_nonfinite": True,
    "max_consecutive_skips": 4,
    "expires_step": 1 << 40,
}


def best() -> str:
    """The service where it is installed."""
    installed = all(map(find_spec, ("fastapi", "sqlalchemy", "uvicorn")))
    return SERVE if installed else STAND_IN


@contextmanager
def receiving(kind: str) -> Iterator[str]:
    """The address of a receiver that runs as long as the block."""
    with _serving() if kind == SERVE else _standing_in() as url:
        yield url


@contextmanager
def _serving() -> Iterator[str]:
    service = importlib.import_module("benchmarks.load.service")
    databases = importlib.import_module("benchmarks.load.databases")
    with databases.sqlite() as fresh, service.serving(fresh) as running:
        yield f"http://{HOST}:{running.port}"


@contextmanager
def _standing_in() -> Iterator[str]:
    command = [sys.executable, "-m", __name__]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://{HOST}:{int(process.stdout.readline())}"
        finally:
            process.terminate()


class Receipts(BaseHTTPRequestHandler):
    """Acknowledges whatever comes, and keeps nothing."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        """201, with the guard."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.dumps({"guard": GUARD}).encode()
        self.send_response(201)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    server = ThreadingHTTPServer((HOST, 0), Receipts)
    print(server.server_port, flush=True)
    server.serve_forever()
