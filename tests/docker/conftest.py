"""The engine, the images and the stack, each once for all tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.engine import Engine, running_engine
from tests.docker.image_set import ensure_images
from tests.docker.stack import Stack, running_stack
from tests.servers import used_server

# Beside another measurement, the build alone takes minutes: it counts for the first test.
_SETUP_SECONDS = 850


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test the time that the set-up takes, for nobody knows which one is first."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.timeout(_SETUP_SECONDS))


@pytest.fixture(scope="session")
def bare_engine() -> Iterator[Engine]:
    """Give an engine; clients of Python's package `docker` find it, too."""
    at_term = signal.signal(signal.SIGTERM, signal.default_int_handler)  # a time limit of CI: take all of it down
    with running_engine() as engine:
        before = os.environ.get("DOCKER_HOST")
        if engine.address:
            os.environ["DOCKER_HOST"] = engine.address
        used_server("docker", engine.version(), "an engine of the tests' own" if engine.own else "the engine at hand")
        yield engine
        if engine.address:
            os.environ.pop("DOCKER_HOST")
        if before is not None:
            os.environ["DOCKER_HOST"] = before
    signal.signal(signal.SIGTERM, at_term)


@pytest.fixture(scope="session")
def engine(bare_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Give the engine with all images in it."""
    ensure_images(bare_engine, tmp_path_factory.mktemp("images"))
    return bare_engine


@pytest.fixture(scope="session")
def stack(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Give the running stack, whose worker takes part in leak-check."""
    override = {"services": {"worker": {"environment": {"ATTUNE_TASKS_LEAK_CHECK__ENABLED": "true"}}}}
    with running_stack(engine, tmp_path_factory.mktemp("stack"), override) as running:
        yield running
