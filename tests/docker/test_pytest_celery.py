"""pytest-celery as it is published, over Docker: its Redis, and its worker in the project's own image."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_celery import CeleryTestSetup, CeleryWorkerContainer, RedisContainer
from pytest_celery.defaults import CELERY_REDIS_BACKEND, CELERY_REDIS_BROKER, DEFAULT_WORKER_VOLUME
from pytest_docker_tools import container, fxtr

from attune_tasks import enqueue
from tests.docker.engine import Engine
from tests.docker.image_set import REDIS, WORKER

PACK = {
    "packs/probe/pack.yaml": "ref: probe\nlabel: Probe\nversion: 1.0.0\n",
    "packs/probe/actions/who.yaml": "ref: probe.who\nrunner_type: shell\nentry_point: who.sh\n",
    "packs/probe/actions/who.sh": 'echo "uid $(id -u)"\n',
    "packs/probe/actions/double.yaml": (
        "ref: probe.double\nrunner_type: python\nentry_point: double.py\n"
        "parameters:\n  number: {type: integer, required: true}\n"
    ),
    "packs/probe/actions/double.py": "def run(params):\n    return 2 * params['number']\n",
}


class OurRedis(RedisContainer):  # type: ignore[misc]  # it ships no types
    """A Redis of the image that these tests have."""

    @classmethod
    def image(cls) -> str:
        """Name it."""
        return REDIS

    @property
    def port(self) -> int:
        """Give the port that is published on this machine, where the engine is, also where it is a container itself."""
        self._wait_port("6379/tcp")
        return int(self.ports["6379/tcp"][0])


class OurWorker(CeleryWorkerContainer):  # type: ignore[misc]  # the same
    """A worker of the project's image, with a pack beside the test's app."""

    @classmethod
    def command(cls, *arguments: str, **options: Any) -> list[str]:
        """Have the worker know our task."""
        command: list[str] = super().command("-I", "attune_tasks.tasks", *arguments, **options)
        return command

    @classmethod
    def initial_env(cls, celery_worker_cluster_config: dict[str, Any], initial: Any = None) -> dict[str, str]:
        """Say where the pack is."""
        environ: dict[str, str] = super().initial_env(celery_worker_cluster_config, initial)
        return environ | {"ATTUNE_TASKS_PACKS": "/app/packs"}

    @classmethod
    def initial_content(cls, *arguments: Any, **options: Any) -> dict[str, bytes]:
        """Put it there."""
        content: dict[str, bytes] = super().initial_content(*arguments, **options)
        return content | {path: text.encode() for path, text in PACK.items()}


@pytest.fixture
def default_redis_broker_cls(engine: Engine) -> type[RedisContainer]:
    return OurRedis


@pytest.fixture
def default_redis_backend_cls(engine: Engine) -> type[RedisContainer]:
    return OurRedis


@pytest.fixture(scope="session")
def docker_client(engine: Engine, docker_client: Any) -> Any:
    return docker_client  # the engine is there first, and the client finds it


@pytest.fixture(params=[CELERY_REDIS_BROKER])
def celery_broker(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


@pytest.fixture(params=[CELERY_REDIS_BACKEND])
def celery_backend(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


@pytest.fixture
def default_worker_container_cls() -> type[CeleryWorkerContainer]:
    return OurWorker


@pytest.fixture(scope="session")
def default_worker_container_session_cls() -> type[CeleryWorkerContainer]:
    return OurWorker


default_redis_broker = container(
    image="{default_redis_broker_image}",
    ports=fxtr("default_redis_broker_ports"),
    environment=fxtr("default_redis_broker_env"),
    network="{default_pytest_celery_network.name}",
    wrapper_class=OurRedis,
    timeout=60,
    command=fxtr("default_redis_broker_command"),
)

default_redis_backend = container(
    image="{default_redis_backend_image}",
    ports=fxtr("default_redis_backend_ports"),
    environment=fxtr("default_redis_backend_env"),
    network="{default_pytest_celery_network.name}",
    wrapper_class=OurRedis,
    timeout=60,
    command=fxtr("default_redis_backend_command"),
)

default_worker_container = container(
    image=WORKER,
    environment=fxtr("default_worker_env"),
    network="{default_pytest_celery_network.name}",
    volumes={"{default_worker_volume.name}": DEFAULT_WORKER_VOLUME},
    working_dir="/app",
    read_only=True,
    tmpfs={"/tmp": "mode=1777,exec", "/run/attune-tasks": "mode=1777"},
    cap_drop=["ALL"],
    wrapper_class=OurWorker,
    timeout=120,
    command=fxtr("default_worker_command"),
)


def test_its_setup_is_ready_and_actions_run_in_it(celery_setup: CeleryTestSetup) -> None:
    assert celery_setup.ready(ping=True, control=True, docker=True)
    app = celery_setup.app
    double = enqueue("probe.double", {"number": 21}, app=app)
    assert double.result(60).result == 42
    who = enqueue("probe.who", {}, app=app)
    assert who.result(60).stdout == "uid 10001\n"


def test_a_worker_that_is_killed_is_back_after_a_restart(celery_setup: CeleryTestSetup) -> None:
    celery_setup.worker.kill()
    assert celery_setup.worker.container.status == "exited"
    sent = enqueue("probe.double", {"number": 3}, app=celery_setup.app)
    celery_setup.worker.restart()
    assert sent.result(120).result == 6
