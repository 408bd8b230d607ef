"""Fixtures of the tests that go through a real worker."""

from __future__ import annotations

import gc
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest
from celery import Celery, _state
from pytest_celery import CeleryTestWorker, RedisTestBackend, RedisTestBroker

from tests.celery_worker import CeleryWorker, celery_worker_command
from tests.integration.claims_batch import SETTINGS, SLOTS, Batch
from tests.integration.claims_pack import write_claims_pack
from tests.integration.workers import Place, make_place, worker
from tests.nodes import PING_TASKS, LocalContainer, RedisContainer, WorkerContainer
from tests.redis_server import RedisServer
from tests.servers import used_server
from tests.vault import StoredVault, start_stored

Node = TypeVar("Node", bound=Any)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Give a folder with packs and secrets."""
    return make_place(tmp_path_factory.mktemp("place"))


@pytest.fixture(scope="module")
def prefork_worker(place: Place) -> Iterator[CeleryWorker]:
    """Run the ready-made app's prefork worker on the embedded default."""
    with worker(place, "-P", "prefork", "-c", "2") as running:
        yield running


@pytest.fixture(scope="module")
def client(place: Place) -> Celery:
    """Give an app of a user's own on the same broker."""
    return place.client()


@pytest.fixture(scope="module")
def durable_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Run a Redis that keeps what it has, for tests which have something befall it."""
    server = RedisServer(tmp_path_factory.mktemp("durable-redis"), durable=True)
    server.start()
    try:
        server.note("durable: broker, results and claims")
        yield server
        gc.collect()  # results tell the server when they go, and would wait for it in another test
    finally:
        server.stop()


@pytest.fixture
def claims_place(tmp_path: Path, durable_redis: RedisServer) -> Place:
    """Give a folder with the pack `claims`, on a Redis which keeps what it has."""
    made = make_place(tmp_path, durable_redis)
    write_claims_pack(made)
    return made


@pytest.fixture
def batch(claims_place: Place) -> Batch:
    """Give a batch of which nothing is sent yet."""
    app = claims_place.client()
    app.main = "attune_tasks"  # by whose name the shared state is told from others
    return Batch(claims_place, app)


@pytest.fixture(scope="module")
def stored_vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoredVault]:
    """Run a Vault that a module may stop, seal and start again: it keeps its data in files."""
    server = start_stored(tmp_path_factory.mktemp("vault"))
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def begun_batch(batch: Batch, pool: str) -> Iterator[Batch]:
    """Give a batch of which each is where it is to be, on two workers; the pool is the test's parameter."""
    with ExitStack() as stack:

        def start(name: str, slots: int) -> None:
            arguments = ("-P", pool, "-c", str(slots), "-n", f"{name}@here")
            stack.enter_context(worker(batch.place, *arguments, environ=SETTINGS, log=f"{name}.log"))

        start("one", SLOTS)
        batch.begin(retrying=False)
        start("two", 1)
        batch.begin_retrying()  # last, so that it waits still when something befalls it
        batch.queue()
        batch.assert_retry_waits()
        yield batch


@pytest.fixture(scope="session")
def node_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, RedisContainer]]:
    """Run the Redis servers of pytest-celery's nodes, ``broker`` and ``backend``: durable, for they are restarted."""
    names = ("broker", "backend")
    servers = {name: RedisServer(tmp_path_factory.mktemp(f"node-{name}"), durable=True) for name in names}
    containers = {name: RedisContainer(name, server) for name, server in servers.items()}
    try:
        for name, container in containers.items():
            container.start()
            servers[name].note(f"{name} of pytest-celery's nodes")
        yield containers
    finally:
        for container in containers.values():
            container.stop()


@pytest.fixture(scope="session")
def node_place(node_servers: dict[str, RedisContainer], tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Give the packs and secrets of the worker of pytest-celery's nodes."""
    return make_place(tmp_path_factory.mktemp("node-worker"))


@pytest.fixture(scope="session")
def node_worker(node_servers: dict[str, RedisContainer], node_place: Place) -> Iterator[WorkerContainer]:
    """Run the worker of pytest-celery's nodes."""
    node_id = secrets.token_hex(6)
    command = celery_worker_command(
        "attune_tasks.app", "-l", "DEBUG", "-E", "-c", "2", "-I", PING_TASKS, "-n", f"worker@{node_id}", "-Q", "celery"
    )
    environ = node_place.environ() | {
        "CELERY_BROKER_URL": node_servers["broker"].celeryconfig["url"],
        "CELERY_RESULT_BACKEND": node_servers["backend"].celeryconfig["url"],
    }
    container = WorkerContainer(
        CeleryWorker(command, node_place.folder, environ, node_place.folder / "worker.log"), node_id
    )
    try:
        container.start()
        used_server("celery worker", container.version(), "prefork, a node of pytest-celery, broker: redis")
        yield container
    finally:
        container.stop()


@pytest.fixture
def celery_broker(node_servers: dict[str, RedisContainer]) -> Iterator[RedisTestBroker]:
    """Give pytest-celery a broker."""
    yield from _node(RedisTestBroker, node_servers["broker"])


@pytest.fixture
def celery_backend(node_servers: dict[str, RedisContainer]) -> Iterator[RedisTestBackend]:
    """Give pytest-celery a result backend."""
    yield from _node(RedisTestBackend, node_servers["backend"])


@pytest.fixture
def celery_worker(
    celery_broker: RedisTestBroker, celery_backend: RedisTestBackend, node_worker: WorkerContainer
) -> Iterator[CeleryTestWorker]:
    """Give pytest-celery a worker; what is killed or stopped by a test is started again for the next."""
    yield from _node(CeleryTestWorker, node_worker)


def _node(kind: Callable[[LocalContainer, Celery | None], Node], container: LocalContainer) -> Iterator[Node]:
    container.start()
    node = kind(container, None)
    yield node
    node.teardown()


@pytest.fixture
def celery_setup_app(kept_current_app: None, celery_setup_app: Celery, node_place: Place) -> Celery:
    """Give the app of pytest-celery's set-up, which knows our packs."""
    celery_setup_app.conf.attune_tasks = {"packs": [str(node_place.packs)]}
    celery_setup_app.finalize()
    return celery_setup_app


@pytest.fixture
def kept_current_app() -> Iterator[None]:
    """Have the app that is current now current afterwards: pytest-celery makes its own so."""
    state: Any = _state  # its stubs leave these out
    before = state._tls.current_app
    yield
    state._set_current_app(before)
