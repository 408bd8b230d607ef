"""Start an example with all that it needs, print where it is, and end all of it by Ctrl-C.

``python examples/start.py django`` or ``flask``; ``make example-django`` and ``make example-flask`` do that.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from place import Place
from processes import NotStartedError, Processes, Running, is_listening, port_or_free

EXAMPLES = Path(__file__).resolve().parent
REFERENCES = {
    "django": ("shop/payment#api_key", "shop/warehouse#password", "shop/warehouse_test#password"),
    "flask": ("ops/deploy#token",),
}
APPS = {"django": "shop", "flask": "ops.celery"}
_WORKER_ENDS = ((signal.SIGTERM, 2.0), (signal.SIGQUIT, 2.0))  # what runs is ended: warm, then cold


class Example:
    """One of the two, while it runs."""

    def __init__(
        self, kind: str, place: Place, processes: Processes, ports: tuple[int, int], provider: str | None
    ) -> None:
        """Start nothing yet. `ports`: the site's and Flower's; where one is taken, another one."""
        self._provider = provider
        self._kind = kind
        self._folder = EXAMPLES / ("django_shop" if kind == "django" else "flask_ops")
        self._place = place
        self._processes = processes
        self._port, self._flower_port = port_or_free(ports[0]), port_or_free(ports[1])

    def start(self) -> str:
        """Start all of it, and wait until it is ready; give the text that says where it is."""
        url = self._place.start_redis(self._processes)
        where = self._place.write_settings(self._processes, url, REFERENCES[self._kind], self._provider)
        passwords = self._make_users()
        worker = self._celery("worker", "worker", "--without-mingle", "-c", "2", "-l", "INFO", ends=_WORKER_ENDS)
        beat = self._celery("beat", "beat", "-l", "INFO", *self._beat_options())
        web = self._processes.start("web", self._web_command(), self._folder)
        self._processes.wait(worker, lambda: " ready." in worker.tail())
        # It asks the workers when it starts, and would show nothing of one that is not ready.
        flower = self._celery("flower", "flower", f"--conf={self._write_flower_settings(passwords['ada'])}")
        self._processes.wait(beat, lambda: "beat: Starting" in beat.tail())
        self._processes.wait(flower, lambda: is_listening(self._flower_port))
        self._processes.wait(web, lambda: is_listening(self._port))
        return self._told(passwords, where)

    def _make_users(self) -> dict[str, str]:
        if self._kind == "django":
            self._python("manage.py", "migrate", "--verbosity", "0")
            said = self._python("manage.py", "demo_data")
        else:
            said = self._python("-m", "flask", "--app", "ops", "demo-users")
        made: dict[str, str] = json.loads(said)
        return made

    def _beat_options(self) -> list[str]:
        files = ["--pidfile="]
        return files if self._kind == "django" else [*files, f"--schedule={self._place.data / 'beat-schedule'}"]

    def _web_command(self) -> list[str]:
        port = str(self._port)
        if self._kind == "django":
            # Pages that follow an execution keep their connection: it is not waited for at the end.
            options = ["--host", "127.0.0.1", "--port", port, "--timeout-graceful-shutdown", "1"]
            return [sys.executable, "-m", "uvicorn", "shop.asgi:application", *options]
        return [sys.executable, "-m", "flask", "--app", "ops", "run", "--host", "127.0.0.1", "--port", port]

    def _write_flower_settings(self, password: str) -> Path:
        """Write them into a file: a command line can be seen by every user of the machine."""
        options = {"address": "127.0.0.1", "port": self._flower_port, "basic_auth": [f"ada:{password}"]}
        return self._place.write("flower.py", "".join(f"{name} = {value!r}\n" for name, value in options.items()))

    def _celery(
        self, name: str, *words: str, ends: tuple[tuple[int, float], ...] = ((signal.SIGTERM, 3.0),)
    ) -> Running:
        command = [sys.executable, "-m", "celery", "-A", APPS[self._kind], *words]
        return self._processes.start(name, command, self._folder, ends=ends)

    def _python(self, *words: str) -> str:
        return self._processes.run([sys.executable, *words], self._folder)

    def _told(self, passwords: dict[str, str], where: str) -> str:
        path = "admin/" if self._kind == "django" else ""
        bob = "who may see orders and executions" if self._kind == "django" else "who may clean up"
        return "\n".join(
            (
                "",
                f"The site: http://127.0.0.1:{self._port}/{path}",
                f"Flower:   http://127.0.0.1:{self._flower_port}/",
                f"Log in:   ada, password {passwords['ada']}, who may do everything; Flower, too",
                f"          bob, password {passwords['bob']}, {bob}",
                f"Secrets:  made up, in {where}",
                f"Logs:     {self._place.logs}",
                "Ctrl-C ends all of it, and nothing is left.",
            )
        )


def main() -> int:
    """Run an example until Ctrl-C, or until one of its processes ends by itself."""
    parser = argparse.ArgumentParser(description="Start an example with all that it needs.")
    parser.add_argument("kind", choices=sorted(APPS))
    parser.add_argument("--port", type=int, default=8000, help="of the site; 0: any that is free")
    parser.add_argument("--flower-port", type=int, default=5555, help="of Flower; 0: any that is free")
    parser.add_argument(
        "--secrets", choices=("file", "vault"), help="who keeps them; without it Vault, where one is at hand"
    )
    given = parser.parse_args()
    os.umask(0o077)

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # nothing interrupts the tidying up
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, interrupt)
    place = Place(EXAMPLES.parent)
    processes = Processes(
        place.logs, {**place.environment(), "SHOP_DATA": str(place.data), "OPS_DATA": str(place.data)}
    )
    try:
        print("Starting Redis, worker, beat, Flower and the site …", flush=True)
        example = Example(given.kind, place, processes, (given.port, given.flower_port), given.secrets)
        print(example.start(), flush=True)
        ended = processes.watch()
        print(f"{ended.name} has ended:\n{ended.tail()}", file=sys.stderr)
    except NotStartedError as error:
        print(error, file=sys.stderr)
    except KeyboardInterrupt:
        print("\nEnding all of it …", flush=True)
        return 0
    finally:
        processes.stop()
        place.remove()
    return 1


if __name__ == "__main__":
    sys.exit(main())
