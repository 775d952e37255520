"""TLS in front of a server, as a team's proxy does it, with a certificate of our own making."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

OPENSSL = shutil.which("openssl")
CHUNK_BYTES = 2**16


@contextmanager
def behind_tls(port: int, folder: Path) -> Iterator[str]:
    """The address of a proxy that speaks TLS and hands everything on to this port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(_certificate(folder))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)  # Playwright has the main one
    thread.start()
    proxy = asyncio.run_coroutine_threadsafe(_serve(port, context), loop).result(10)
    yield f"https://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
    asyncio.run_coroutine_threadsafe(_stop(proxy), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def _certificate(folder: Path) -> Path:
    """A key, and beside it what says that it is 127.0.0.1's, signed by itself."""
    if OPENSSL is None:
        pytest.skip("no openssl: apt-get install openssl")
    path = folder / "proxy.pem"
    command = [
        OPENSSL, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
        "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", path, "-out", path,
    ]  # fmt: skip
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    if b"CERTIFICATE" not in path.read_bytes() or b"PRIVATE KEY" not in path.read_bytes():
        pytest.fail("openssl did not write both into one file")
    return path


async def _serve(port: int, context: ssl.SSLContext) -> asyncio.Server:
    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        ways = (_pipe(reader, inner_writer), _pipe(inner_reader, writer))
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*ways)

    return await asyncio.start_server(connect, "127.0.0.1", 0, ssl=context)


async def _pipe(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError, ssl.SSLError):
        while data := await source.read(CHUNK_BYTES):
            target.write(data)
            await target.drain()
    with suppress(OSError, ssl.SSLError):
        target.close()


async def _stop(proxy: asyncio.Server) -> None:
    proxy.close()
    pending = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
