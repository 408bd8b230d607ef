"""A place whose actions say something while they run, and where it stands in Redis."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import redis
from celery import Celery

from tests.integration.packs import SECRETS
from tests.integration.workers import Place, make_place
from tests.redis_server import RedisServer

__all__ = ["CANARIES", "LivePlace", "make_live_place"]

CANARIES: Final = tuple(SECRETS.values())

_ACTIONS: Final = {
    # Goes on step by step, as files appear.
    "steps": """
import os, pathlib, time
def run(params):
    folder = pathlib.Path(params["folder"])
    for number in range(params["steps"]):
        print(f"step {number} {get_secret('api_key')}", flush=True)
        (folder / f"at {number}").touch()
        set_progress(100 * number / params["steps"], f"at {number} with {get_secret('password')}")
        while not (folder / str(number)).exists():
            time.sleep(0.01)
    return "done"
""",
    # Writes its secrets byte by byte, with pauses and without, on both streams.
    "drip": """
import os, time
def run(params):
    for number, name in ((1, "api_key"), (2, "password")):
        for byte in (get_secret(name) + "|").encode():
            os.write(number, bytes([byte]))
            time.sleep(params["pause"])
    os.write(1, get_secret("api_key")[:-1].encode())
    time.sleep(5 * params["pause"])
""",
    "loud": """
import sys, time
def run(params):
    end = time.monotonic() + params["seconds"]
    lines = 0
    while time.monotonic() < end:
        sys.stdout.write(f"line {lines} {get_secret('api_key')}\\\\n" * params["times"])
        sys.stdout.flush()
        set_progress(50, f"line {lines}")
        lines += 1
        time.sleep(params["pause"])
    return lines
""",
    "quiet": "import time\ndef run(params):\n    time.sleep(params['seconds'])\n    return 'quiet'\n",
    "short": "def run(params):\n    print('one line')\n    set_progress(99)\n",
}
_SHELL_ACTIONS: Final = {
    "walk": """
set_progress 40 "at two of five with $(get_secret password)"
while [[ ! -e $ATTUNE_ACTION_FOLDER/go ]]; do sleep 0.02; done
""",
}
_METADATA: Final = """\
secrets:
  api_key: {ref: "work/api#api_key"}
  password: {ref: "work/api#password"}
parameters:
  folder: {type: string}
  steps: {type: integer, default: 3}
  seconds: {type: number, default: 1}
  pause: {type: number, default: 0.002}
  times: {type: integer, default: 1}
"""


@dataclass(frozen=True)
class LivePlace:
    """A place, a Redis for shared state, and a client of that."""

    place: Place
    state: RedisServer
    name: str
    environ: dict[str, str]
    settings: dict[str, Any] = field(default_factory=dict)
    """More of the client's."""

    def app(self, **settings: Any) -> Celery:
        """Make a client's app, which knows no packs."""
        app = self.place.client()
        shared = {"state_name": self.name, "state_url": self.state.url()}
        app.conf.attune_tasks = {"packs": [], **shared, **self.settings, **settings}
        return app

    def key(self, execution_id: int) -> str:
        """Name the stream of an execution."""
        return f"attune:{{{self.name}}}:live:{execution_id}"

    def entries(self, execution_id: int) -> list[tuple[bytes, dict[bytes, bytes]]]:
        """Give what the stream has."""
        with self.state.client() as client:
            found: Any = client.xrange(self.key(execution_id))
            return list(found)

    def calls(self, command: str) -> int:
        """Say how often shared state was given a command, by its own count."""
        with self.state.client() as client:
            stats: Any = client.info("commandstats")
            return int(stats.get(f"cmdstat_{command}", {}).get("calls", 0))

    def client(self) -> redis.Redis:
        """Give a client of shared state."""
        return self.state.client()


def make_live_place(folder: Path, servers: RedisServer, state: RedisServer | None = None) -> LivePlace:
    """Fill `folder`; `servers` is broker and result backend, and shared state unless `state` is given."""
    place = make_place(folder, servers)
    actions = place.packs / "work" / "actions"
    for name, script in _ACTIONS.items():
        head = f"ref: work.{name}\nrunner_type: python\nentry_point: {name}.py\n"
        (actions / f"{name}.yaml").write_text(head + _METADATA, encoding="utf-8")
        (actions / f"{name}.py").write_text(script.replace("\\\\n", "\\n"), encoding="utf-8")
    for name, script in _SHELL_ACTIONS.items():
        head = f"ref: work.{name}\nrunner_type: shell\nentry_point: {name}.sh\n"
        (actions / f"{name}.yaml").write_text(head + _METADATA, encoding="utf-8")
        (actions / f"{name}.sh").write_text(script, encoding="utf-8")
    name = f"live-{folder.name}"
    environ = {"ATTUNE_TASKS_STATE_NAME": name, "ATTUNE_TASKS_STATE_URL": (state or servers).url()}
    return LivePlace(place, state or servers, name, environ)
