"""A pack whose secrets are in Vault, the settings for it, and looks at what an execution left behind."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from celery import Celery

from attune_tasks import ExecutionResult, Handle, enqueue
from tests.celery_worker import CeleryWorker
from tests.integration.surfaces import captured_events, holds
from tests.integration.workers import Place, make_place, worker
from tests.redis_server import RedisServer
from tests.waiting import wait_until

__all__ = ["VALUE", "VaultWorker", "toml", "vault_worker", "write_token"]

VALUE: Final = "Vq8-the-value-in-vault-Zk3"
_SECONDS: Final = 30
# The value is proven by its length, for what is printed is masked.
_SCRIPT: Final = 'echo >>"$ATTUNE_ACTION_MARK"; get_secret -v KEY key; echo "$KEY ${#KEY}"\n'
_HOLD: Final = 'echo >>"$ATTUNE_ACTION_MARK"; while [[ ! -e $ATTUNE_ACTION_MARK.go ]]; do sleep 0.02; done\n'


class VaultWorker:
    """A worker whose provider is Vault."""

    def __init__(self, place: Place, client: Celery, running: CeleryWorker, events: list[dict[str, Any]]) -> None:
        """Look after nothing yet. `events` grows while the worker runs."""
        self.place = place
        self.client = client
        self.running = running
        self.events = events
        self.kept_secret: set[str] = {VALUE}
        """Values and tokens, which no text may hold."""
        self._marks = place.folder / "marks"
        self._marks.mkdir()
        self._count = 0
        self._mark_of: dict[str, Path] = {}

    def start(self, action: str) -> Handle:
        """Enqueue an action, whose child leaves a mark."""
        mark = self.new_mark()
        handle = enqueue(f"v.{action}", {"mark": str(mark)}, app=self.client)
        self._mark_of[handle.task_id] = mark
        return handle

    def new_mark(self) -> Path:
        """Give a file that is not there yet, for the children of an execution to write to, a byte each."""
        self._count += 1
        return self._marks / str(self._count)

    def starts(self, handle: Handle) -> int:
        """Give how many children an execution has had."""
        mark = self._mark_of[handle.task_id]
        return len(mark.read_bytes()) if mark.exists() else 0

    def state(self, handle: Handle) -> str:
        """Give Celery's state."""
        return str(self.client.AsyncResult(handle.task_id).state)

    def run(self, action: str) -> ExecutionResult:
        """Run an action; see that a child was started or not, as it says, and that no text holds a secret."""
        handle = self.start(action)
        result = handle.result(timeout=_SECONDS)
        mark = self._marks / str(self._count)
        assert mark.exists() == (result.started_at is not None)
        wait_until(lambda: self._ended(handle), "the last event")
        surfaces = {"result": json.dumps(result.to_dict()).encode(), **self.surfaces()}
        for name, surface in surfaces.items():
            assert [secret for secret in self.kept_secret if holds(surface, secret)] == [], name
        return result

    def surfaces(self) -> dict[str, bytes]:
        """Give all that others can read of what happened so far."""
        return {
            "log": self.running.log_path.read_bytes(),
            "events": json.dumps(self.events).encode(),
            **self.place.stored(),
        }

    def _ended(self, handle: Handle) -> bool:
        ends = {"task-succeeded", "task-failed"}
        return any(event["type"] in ends and event["uuid"] == handle.task_id for event in self.events)

    def works(self, action: str, value: str = VALUE) -> None:
        """See that an action runs and has its secret."""
        self.kept_secret.add(value)
        result = self.run(action)
        assert (result.status, result.stdout) == ("succeeded", f"*** {len(value)}\n"), result.error

    def refused(self, action: str, *said: str) -> str:
        """See that no child was started, and that the error says so much; give its text."""
        result = self.run(action)
        assert (result.status, result.started_at) == ("error", None), result
        assert result.error
        assert result.error["type"] == "secrets_unavailable"
        message: str = result.error["message"]
        for text in said:
            assert text in message, message
        return message


@contextmanager
def vault_worker(  # noqa: PLR0913 - a test names what it needs
    folder: Path,
    settings: Mapping[str, Any],
    actions: Mapping[str, str],
    *,
    redis: RedisServer | None,
    pool: str = "prefork",
    seconds: float = 10,
    more: Mapping[str, Any] | None = None,
    slots: int = 2,
) -> Iterator[VaultWorker]:
    """Run a worker with `settings` as secrets.vault, and the pack ``v``: `actions` by name, each with its reference.

    The pack's action ``hold`` needs none, and ends when there is a file named as its mark, with ``.go`` at the end.

    `seconds` are for fetching; `more` is set for secrets besides. With `redis` it is broker and result backend,
    otherwise the embedded ones are.
    """
    folder.mkdir(exist_ok=True)
    place = make_place(folder, redis)
    pack = folder / "packs" / "v" / "actions"
    pack.mkdir(parents=True)
    (pack.parent / "pack.yaml").write_text("ref: v\nversion: 1.0.0\n", encoding="utf-8")
    for name, reference in actions.items():
        (pack / f"{name}.yaml").write_text(
            f"ref: v.{name}\nrunner_type: shell\nentry_point: tell.sh\nsecrets: {{key: '{reference}'}}\n"
            "parameters: {mark: {type: string, required: true}}\n",
            encoding="utf-8",
        )
    (pack / "tell.sh").write_text(_SCRIPT, encoding="utf-8")
    (pack / "hold.yaml").write_text(
        "ref: v.hold\nrunner_type: shell\nentry_point: hold.sh\nparameters: {mark: {type: string, required: true}}\n",
        encoding="utf-8",
    )
    (pack / "hold.sh").write_text(_HOLD, encoding="utf-8")
    config = folder / "attune-tasks.toml"
    config.touch(mode=0o600)
    config.write_text(
        toml("secrets", {"provider": "vault", "fetch_timeout": seconds, **(more or {})})
        + toml("secrets.vault", settings),
        encoding="utf-8",
    )
    environ = {"ATTUNE_TASKS_CONFIG": str(config)}
    client = place.client()
    with captured_events(client) as events, worker(place, "-P", pool, "-c", str(slots), environ=environ) as running:
        yield VaultWorker(place, client, running, events)


def toml(name: str, values: Mapping[str, Any]) -> str:
    """Write a table, and those within it."""
    plain = {key: value for key, value in values.items() if not isinstance(value, Mapping)}
    lines = [f"{key} = {json.dumps(str(value) if isinstance(value, Path) else value)}" for key, value in plain.items()]
    text = "\n".join([f"[{name}]", *lines, ""])
    for key, value in values.items():
        if isinstance(value, Mapping):
            text += toml(f'{name}."{key}"', value)
    return text


def write_token(path: Path, token: str) -> Path:
    """Put a token into a file as an agent does: whole, in place of the one before."""
    part = path.with_suffix(".part")
    part.touch(mode=0o600)
    part.write_text(token + "\n", encoding="utf-8")
    part.replace(path)
    return path
