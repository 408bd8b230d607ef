"""Redis as broker and backend, messages signed, and apps that have the key and that have not."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import redis
from celery import Celery

from tests.integration.workers import Place
from tests.redis_server import RedisServer

__all__ = ["KEY", "RedisPlace", "write_key"]

KEY: Final = "5f2b6d0c9a8e4f7b1c3d5e7f9a0b2c4d5f2b6d0c9a8e4f7b1c3d5e7f9a0b2c4d"


def write_key(path: Path, *keys: str) -> Path:
    """Write a file of keys as it must be."""
    path.touch(mode=0o600)
    path.write_text("".join(f"{key}\n" for key in keys or (KEY,)), encoding="utf-8")
    return path


@dataclass(frozen=True)
class RedisPlace:
    """A place whose broker and backend are one database of a Redis."""

    place: Place
    server: RedisServer
    database: int
    key_file: Path
    _apps: dict[str, Celery] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The database."""
        return self.server.url(self.database)

    def environ(self, *, signed: bool = True) -> dict[str, str]:
        """Give what a worker of the ready-made app gets besides the place's own variables."""
        keys = {"ATTUNE_TASKS_MESSAGE_KEY_FILE": str(self.key_file)} if signed else {}
        return {"ATTUNE_TASKS_BROKER_URL": self.url, "ATTUNE_TASKS_RESULT_BACKEND": self.url, **keys}

    def app(self, name: str = "attune_tasks", *, signed: bool = True, **settings: Any) -> Celery:
        """Give an app like a user's own, the same one for the same arguments."""
        wanted = repr((name, signed, settings))
        if wanted in self._apps:
            return self._apps[wanted]
        app = self._apps[wanted] = Celery(name, broker=self.url, backend=self.url, set_as_current=False)
        keys = {"message_key_file": str(self.key_file)} if signed else {}
        app.conf.attune_tasks = {"packs": [str(self.place.packs)], **keys, **settings}
        app.finalize()
        return app

    def close(self) -> None:
        """Close what the apps have open."""
        for app in self._apps.values():
            backend: Any = app.backend
            backend.result_consumer.stop()
            backend.client.close()
            app.close()

    def client(self) -> redis.Redis:
        """Give a client of the database: who has it can write what it likes to the broker."""
        return self.server.client(self.database)

    def take(self, queue: str = "celery") -> tuple[dict[str, Any], Any]:
        """Take the one message of a queue: the message as it stands there, and its decoded body."""
        with self.client() as client:
            raw: Any = client.rpop(queue)
        assert raw, f"nothing is in the queue {queue}"
        message: dict[str, Any] = json.loads(raw)
        return message, json.loads(base64.b64decode(message["body"]))

    def put(self, message: dict[str, Any], body: Any, queue: str = "celery") -> None:
        """Put a message into a queue, by the broker's list alone."""
        message["body"] = base64.b64encode(json.dumps(body).encode()).decode()
        with self.client() as client:
            client.lpush(queue, json.dumps(message))
