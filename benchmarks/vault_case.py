"""The case that needs a Vault: the provider's kept client against the cheapest request that Python can make."""

from __future__ import annotations

import http.client
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from attune_tasks.secrets.references import parse_reference
from attune_tasks.secrets.vault import VaultSecretProvider
from attune_tasks.settings.model import VaultSettings
from benchmarks.measuring import interleaved
from benchmarks.rows import Row
from benchmarks.workspace import Bench

__all__ = ["vault_read"]

TOKEN = "bench-root"  # noqa: S105 - of a server in memory, on the loopback interface
SECRET = '{"data": {"one": "sk_live_0123456789abcdef", "two": "a second", "three": "a third"}}'  # noqa: S105 - made up


def vault_read(bench: Bench) -> list[Row]:  # noqa: ARG001 - the shape of a case
    """Measure a read by the provider's kept client against the same by a raw kept connection."""
    with _kept_read_and_raw_request() as (ours, theirs):
        ratio = interleaved(ours, theirs, 300)
    return [Row("Vault: a kept hvac read", "a raw keep-alive request (http.client)", ratio, 3.5)]


@contextmanager
def _kept_read_and_raw_request() -> Iterator[tuple[Callable[[], object], Callable[[], object]]]:
    """Give a read by the provider, and the same by one kept http.client connection, of a real Vault.

    Needs the tests' Vault: see tests/vault_server/README.md.
    """
    from tests.vault import free_port
    from tests.vault_binary import ensure_binary

    port = free_port()
    arguments = ["-dev", "-dev-no-store-token", f"-dev-root-token-id={TOKEN}", f"-dev-listen-address=127.0.0.1:{port}"]
    with tempfile.TemporaryDirectory(prefix="attune-bench-vault-") as home:
        server = subprocess.Popen(
            [str(ensure_binary()), "server", *arguments],
            env={"HOME": home, "PATH": os.environ["PATH"]},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            connection = _connected(port)
            options = VaultSettings(url=f"http://127.0.0.1:{port}", token=TOKEN).as_options()
            provider = VaultSecretProvider.from_settings(options)
            reference = parse_reference("bench/small#", default_provider="vault")
            yield (
                lambda: provider.read(reference, deadline=time.monotonic() + 10),
                lambda: _request(connection, "GET", None),
            )
        finally:
            server.terminate()
            server.wait(15)


def _connected(port: int) -> http.client.HTTPConnection:
    """Wait for the server, write the secret, and give the connection."""
    deadline = time.monotonic() + 30
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        try:
            _request(connection, "POST", SECRET)
        except (OSError, RuntimeError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return connection


def _request(connection: http.client.HTTPConnection, method: str, body: str | None) -> bytes:
    connection.request(method, "/v1/secret/data/bench/small", body, {"X-Vault-Token": TOKEN})
    response = connection.getresponse()
    content = response.read()
    if response.status != http.client.OK:
        msg = f"Vault answered {response.status}"
        raise RuntimeError(msg)
    return content
