"""The way to Vault, against servers that answer as Vault does in its bad moments; the good ones are real servers'."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from attune_tasks.errors import SecretsUnavailableError
from attune_tasks.secrets import SecretManager
from attune_tasks.secrets.references import parse_reference
from attune_tasks.secrets.vault import VaultSecretProvider
from attune_tasks.secrets.vault_http import connect
from attune_tasks.secrets.vault_options import read_options
from attune_tasks.settings.model import VaultSettings

TOKEN = "hvs.token-of-the-tests"
VALUE = "the-value-in-vault"
FOUND = {"data": {"data": {"key": VALUE}, "metadata": {"version": 1}}}
ACTION: Any = SimpleNamespace(ref="pack.action", secrets={"key": SimpleNamespace(ref="a/b#key", required=True)})

Answer = tuple[int, dict[str, Any], dict[str, str]]


class Stub:
    """Gives its answers to a secret's path one after the other, the last one for ever."""

    def __init__(self) -> None:
        """Answer as a KV engine 2 does."""
        self.headers: dict[str, str] = {}
        self.answers: list[Answer] = [(200, FOUND, {})]
        self.asked: list[tuple[str, str]] = []
        self.url = ""
        self.before: Callable[[], object] = bool

    def answer(self, path: str, token: str) -> Answer:
        """Give the next answer."""
        self.asked.append((path, token))
        if path == "/v1/auth/token/lookup-self":
            return 200, {"data": {"ttl": 0}}, {}
        self.before()
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def paths(self) -> list[str]:
        """Give what was asked for, but for who we are."""
        return [path for path, _ in self.asked if path != "/v1/auth/token/lookup-self"]


@pytest.fixture
def stub() -> Iterator[Stub]:
    made = Stub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            made.headers = dict(self.headers)
            status, body, headers = made.answer(self.path, self.headers.get("X-Vault-Token", ""))
            content = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            with suppress(ConnectionError):  # who asked may have given up
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Be quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        made.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()


def provider(url: str, **settings: Any) -> VaultSecretProvider:
    options = VaultSettings.model_validate({"url": url, "token": TOKEN, "kv_version": 2, **settings}).as_options()
    return VaultSecretProvider.from_settings(options)


def read(made: VaultSecretProvider, text: str = "a/b#key", seconds: float = 5.0) -> Any:
    return dict(made.read(parse_reference(text, default_provider="vault"), deadline=time.monotonic() + seconds))


def failure(made: VaultSecretProvider, text: str = "a/b#key", seconds: float = 5.0) -> str:
    with pytest.raises(SecretsUnavailableError) as raised:
        read(made, text, seconds)
    error: BaseException | None = raised.value
    while error is not None:  # nothing in the chain either
        assert TOKEN not in repr(error)
        assert VALUE not in repr(error)
        error = error.__cause__ or error.__context__
    return str(raised.value)


@pytest.mark.parametrize("status", [412, 429, 472, 473, 500, 502, 503, 504])
def test_what_passes_is_tried_again(stub: Stub, status: int) -> None:
    stub.answers = [(status, {"errors": ["not now"]}, {}), (status, {}, {}), (200, FOUND, {})]
    assert read(provider(stub.url)) == {"key": VALUE}
    assert stub.paths() == ["/v1/secret/data/a/b"] * 3


@pytest.mark.parametrize("status", [400, 403, 404, 405])
def test_what_does_not_pass_is_not_tried_again(stub: Stub, status: int) -> None:
    stub.answers = [(status, {"errors": [VALUE]}, {})]
    assert failure(provider(stub.url))
    assert len(stub.paths()) == 1


def test_retry_after_is_kept_to(stub: Stub) -> None:
    stub.answers = [(429, {}, {"Retry-After": "1"}), (200, FOUND, {})]
    started = time.monotonic()
    assert read(provider(stub.url)) == {"key": VALUE}
    assert 1.0 <= time.monotonic() - started < 4


def test_a_retry_after_beyond_the_deadline_is_not_waited_for(stub: Stub) -> None:
    stub.answers = [(429, {}, {"Retry-After": "60"})]
    started = time.monotonic()
    assert "limits the rate (429, retry after 60 s)" in failure(provider(stub.url))
    assert time.monotonic() - started < 2


def test_retries_end_with_the_deadline_and_say_the_cause(stub: Stub) -> None:
    stub.answers = [(503, {"errors": ["Vault is sealed"]}, {})]
    started = time.monotonic()
    assert "is sealed: unseal it with `vault operator unseal`" in failure(provider(stub.url), seconds=1)
    assert time.monotonic() - started < 1.5
    assert len(stub.paths()) > 2


def test_a_standby_without_an_active_node_is_told(stub: Stub) -> None:
    stub.answers = [(500, {"errors": ["local node not active but active cluster node not found"]}, {})]
    assert "is a standby which has no active node to ask (500)" in failure(provider(stub.url), seconds=0.5)


def test_one_slow_answer_leaves_time_for_another_try(stub: Stub) -> None:
    waits = iter((1.5, 0.0))
    stub.before = lambda: time.sleep(next(waits))
    assert read(provider(stub.url, timeout=0.5)) == {"key": VALUE}
    assert len(stub.paths()) == 2


def test_a_read_that_is_never_answered_ends_within_its_deadline(stub: Stub) -> None:
    end = threading.Event()
    stub.before = lambda: bool(end.wait(10))
    started = time.monotonic()
    assert "did not answer in time" in failure(provider(stub.url), seconds=0.8)
    assert time.monotonic() - started < 0.8
    end.set()


def test_the_manager_hears_why_before_its_own_time_is_over(stub: Stub) -> None:
    end = threading.Event()
    stub.before = lambda: bool(end.wait(10))
    manager = SecretManager({"vault": provider(stub.url)}, default_provider="vault", fetch_timeout=2.0)

    with pytest.raises(SecretsUnavailableError, match="did not answer in time: see `vault status"):
        manager.fetch_secrets_for_action(ACTION)
    end.set()


def test_an_answer_that_comes_in_drops_is_left_behind_at_the_deadline() -> None:
    end = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while not end.wait(0.05):
                connection.sendall(b" ")

    thread = threading.Thread(target=drip)
    thread.start()
    made = provider(f"http://127.0.0.1:{listener.getsockname()[1]}")
    manager = SecretManager({"vault": made}, default_provider="vault", fetch_timeout=0.6)
    started = time.monotonic()
    try:
        with pytest.raises(SecretsUnavailableError, match=r"not read within 0\.6 s"):
            manager.fetch_secrets_for_action(ACTION)
        assert time.monotonic() - started < 3
    finally:
        end.set()
        thread.join()
        listener.close()


def test_a_server_that_is_not_there_is_told_with_the_systems_words() -> None:
    text = failure(provider("http://127.0.0.1:1"), seconds=0.5)
    assert text == (
        "no connection to Vault at http://127.0.0.1:1 (Connection refused): see whether it runs, and secrets.vault.url"
    )


def test_an_answer_that_is_none_of_vaults_is_told(stub: Stub) -> None:
    stub.answers = [(200, {"hello": VALUE}, {})]
    assert "does not speak as Vault does" in failure(provider(stub.url))


def test_the_environment_sets_nothing(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "VAULT_ADDR", "VAULT_HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("VAULT_TOKEN", "of-the-environment")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent")
    monkeypatch.setenv("VAULT_NAMESPACE", "elsewhere")
    assert read(provider(stub.url)) == {"key": VALUE}
    assert {token for _, token in stub.asked} == {TOKEN}


def test_reads_at_once_share_one_request_and_nothing_is_kept(stub: Stub) -> None:
    made = provider(stub.url)
    read(made, "other#key")  # logged in
    stub.asked.clear()
    stub.before = lambda: time.sleep(0.4)
    threads = [threading.Thread(target=read, args=(made,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stub.paths()) == 1
    read(made)
    assert len(stub.paths()) == 2


def test_a_cache_keeps_what_was_read_for_its_time_only(stub: Stub) -> None:
    made = provider(stub.url, cache_ttl=0.4)
    assert [read(made), read(made), read(made, "a/b#other")] == [{"key": VALUE}] * 3
    assert len(stub.paths()) == 1
    time.sleep(0.5)
    read(made)
    assert len(stub.paths()) == 2


def test_a_failure_is_not_cached(stub: Stub) -> None:
    stub.answers = [(404, {}, {}), (200, FOUND, {})]
    made = provider(stub.url, cache_ttl=60)
    failure(made)
    assert read(made) == {"key": VALUE}


def test_a_redirect_is_followed(stub: Stub) -> None:
    stub.answers = [(307, {}, {"Location": f"{stub.url}/v1/secret/data/a/b?active=1"}), (200, FOUND, {})]
    assert read(provider(stub.url)) == {"key": VALUE}


def test_the_path_is_quoted_for_the_url_and_for_the_shell(stub: Stub) -> None:
    stub.answers = [(404, {}, {})]
    text = failure(provider(stub.url), "two words/ü#key")
    assert stub.paths() == ["/v1/secret/data/two%20words/%C3%BC"]
    assert "`vault kv get -mount=secret 'two words/ü'`" in text


def test_an_agents_guard_against_forged_requests_is_satisfied_and_a_namespace_sent(stub: Stub) -> None:
    stub.answers = [(404, {}, {})]
    assert "`vault kv get -namespace=team/a -mount=secret a/b`" in failure(provider(stub.url, namespace="team/a"))
    assert (stub.headers["X-Vault-Request"], stub.headers["X-Vault-Namespace"]) == ("true", "team/a")


def test_repr_of_anything_shows_no_token(stub: Stub) -> None:
    made = provider(stub.url)
    read(made)
    (server,) = made._clients
    assert TOKEN not in repr(server)
    assert TOKEN not in repr(vars(made))


def test_a_redirect_from_tls_to_plain_text_is_not_followed() -> None:
    answer = requests.Response()
    answer.status_code, answer.url, answer.headers["Location"] = 307, "https://vault/v1/x", "http://vault/v1/x"
    (mount,) = read_options(VaultSettings(url="https://vault", token=TOKEN).as_options()).configured()
    session = connect(mount.server).session
    assert session.get_redirect_target(answer) is None
    answer.url = "http://vault/v1/x"
    assert session.get_redirect_target(answer) == "http://vault/v1/x"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a/b?version=0#key", "takes a whole number from 1 on"),
        ("a/b?version=x#key", "takes a whole number from 1 on"),
        ("a/b?revision=3#key", "leave out revision after the ?"),
        ("vault://secret#key", "there is no path after the mount 'secret'"),
    ],
)
def test_what_a_reference_can_not_say_is_refused(stub: Stub, text: str, said: str) -> None:
    assert said in failure(provider(stub.url), text)
    assert stub.asked == []
