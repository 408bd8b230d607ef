"""Fixtures of the tests that go through a real worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import Celery

from tests.celery_worker import CeleryWorker
from tests.integration.workers import Place, make_place, worker


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
