"""Real Celery workers as processes of their own, and apps to talk to them with."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from celery import Celery

from attune_tasks._celery.embedded import embedded_config
from tests.celery_worker import CeleryWorker, celery_worker_command, running_worker
from tests.integration.packs import write_packs, write_secrets
from tests.integration.surfaces import read_folder, read_redis
from tests.redis_server import RedisServer

__all__ = ["ROOT", "Place", "make_place", "worker"]

ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True)
class Place:
    """A folder with packs and secrets in it, and the broker and the result backend of one test."""

    folder: Path
    packs: Path
    secrets: Path
    redis: RedisServer | None = None
    """None: the embedded broker and backend serve."""
    database: int = 0
    """Which database of that Redis is this place's alone."""
    broker: str | None = None
    """The address of another broker beside that Redis."""

    @property
    def embedded(self) -> Path:
        """Where the ready-made app finds its broker, given :meth:`environ`."""
        return self.folder / "state" / "attune-tasks" / "embedded"

    @property
    def broker_name(self) -> str:
        """How the broker is called in the list of servers."""
        return "embedded" if self.redis is None else (self.broker or "redis").partition(":")[0]

    @property
    def urls(self) -> dict[str, str]:
        """Give Celery's settings for broker and backend, by their variables; none for the embedded ones."""
        if self.redis is None:
            return {}
        url = self.redis.url(self.database)
        return {"CELERY_BROKER_URL": self.broker or url, "CELERY_RESULT_BACKEND": url}

    def environ(self) -> dict[str, str]:
        """Give the whole environment of a worker."""
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.folder),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "ATTUNE_TASKS_PACKS": str(self.packs),
            "ATTUNE_TASKS_SECRETS__FILE__PATH": str(self.secrets),
            "ATTUNE_TASKS_GRACE": "1",
            **self.urls,
            # Branches that only a worker goes through are measured, too.
            **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")},
        }

    def client(self) -> Celery:
        """Make an app like a user's own, on the same broker."""
        app = Celery("client", set_as_current=False)
        if self.redis is None:
            app.conf.update(embedded_config(self.embedded))
        else:
            app.conf.update(
                broker_url=self.urls["CELERY_BROKER_URL"], result_backend=self.urls["CELERY_RESULT_BACKEND"]
            )
        app.conf.task_send_sent_event = True
        app.conf.attune_tasks = {"packs": [str(self.packs)]}
        app.finalize()
        return app

    def stored(self) -> dict[str, bytes]:
        """Give all that stands in the broker and in the backend now, by their names."""
        if self.redis is None:
            return {"broker": read_folder(self.embedded / "broker"), "backend": read_folder(self.embedded / "results")}
        with self.redis.client(self.database) as client:
            return {"broker and backend": read_redis(client)}


def make_place(folder: Path, redis: RedisServer | None = None, broker: str | None = None) -> Place:
    """Fill `folder`; with `redis`, take a database of it."""
    database = redis.new_database() if redis else 0
    return Place(folder, write_packs(folder), write_secrets(folder), redis, database, broker)


@contextmanager
def worker(
    place: Place,
    *arguments: str,
    app: str = "attune_tasks.app",
    environ: Mapping[str, str] | None = None,
    log: str = "worker.log",
) -> Iterator[CeleryWorker]:
    """Run ``celery -A app worker`` with DEBUG log and events; end it, and its whole session, by its pid."""
    command = celery_worker_command(app, "-l", "DEBUG", "-E", *arguments)
    made = CeleryWorker(command, place.folder, place.environ() | dict(environ or {}), place.folder / log)
    pool = arguments[arguments.index("-P") + 1] if "-P" in arguments else "prefork"
    with running_worker(made, f"{pool}, broker: {place.broker_name}") as running:
        yield running
