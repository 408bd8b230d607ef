"""A worker in which nasty actions run side by side, and what is known of each before something befalls it."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast

from celery import Celery

from attune_tasks import Handle, enqueue
from attune_tasks.tasks import NAME
from tests.acceptance.left import Seen, Tracks, below, held_by, now, parent_of, users_of
from tests.acceptance.nasty_pack import KINDS, NEIGHBOUR, PROCESSES, UNDISTURBED, write_nasty_pack
from tests.celery_worker import CeleryWorker
from tests.integration.workers import Place, make_place, worker
from tests.redis_server import RedisServer
from tests.waiting import wait_until

__all__ = ["GRACE", "SECONDS", "SLOTS", "Begun", "KillSite", "tracks_of"]

GRACE: Final = 0.5
SECONDS: Final = 30.0
SLOTS: Final = 6
"""For one of each kind, a neighbour, and a naive task."""

CGROUP: Final = os.environ.get("KILLS_WITH_CGROUP") == "1"
"""Whether launchers get a cgroup, which may hide that other means fail: every other time where they are repeated."""

_APP: Final = """\
import os, subprocess, tempfile
from attune_tasks.app import app

app.conf.worker_soft_shutdown_timeout = {soft}

@app.task(name="naive")
def naive(program, file):
    folder = tempfile.mkdtemp(prefix="naive-")
    subprocess.run([program], cwd=folder, env=dict(os.environ, ATTUNE_ACTION_FILE=file), stdout=subprocess.PIPE)
"""


@dataclass(frozen=True)
class Begun:
    """An execution that runs, with all its processes there."""

    ref: str
    task_id: str
    file: Path
    main: Seen
    """The action's own process."""
    launcher: Seen
    """Its parent; of a naive one that is the slot itself."""
    slot: Seen
    """The pool process; with threads the worker's only one."""
    folder: Path
    """Where it stands: its private folder."""
    tracks: Tracks

    def go(self) -> None:
        """Let it end of itself."""
        Path(f"{self.file}.go").touch()


class KillSite:
    """A folder with packs, a Redis database as broker and backend, and a worker on them."""

    def __init__(self, folder: Path, redis: RedisServer) -> None:
        """Make the folder; start nothing."""
        self.place: Place = make_place(folder, redis)
        self.program = write_nasty_pack(self.place.packs)
        self.temp = folder / "tmp"
        self.temp.mkdir()
        self.client: Celery = self.place.client()
        self._numbers = itertools.count()

    @contextmanager
    def worker(
        self, pool: str, *arguments: str, soft: float = 0, environ: dict[str, str] | None = None
    ) -> Iterator[CeleryWorker]:
        """Run a worker; `soft`: how long a soft shutdown takes. Whatever becomes of it, nothing is left afterwards."""
        (self.place.folder / "mine.py").write_text(_APP.format(soft=soft), encoding="utf-8")
        slots = () if "--autoscale" in arguments else ("-c", str(SLOTS))
        whole = {
            "ATTUNE_TASKS_GRACE": str(GRACE),
            "ATTUNE_TASKS_LAUNCHERS__CGROUP": str(CGROUP).lower(),
            "TMPDIR": str(self.temp),
            **(environ or {}),
        }
        try:
            with worker(self.place, "-P", pool, *slots, *arguments, app="mine", environ=whole) as running:
                yield running
        finally:
            kill_all(users_of([self.place.folder]))  # what a failing test has found

    def begin(self, *refs: str, timeout: float | None = None, **limits: int) -> list[Begun]:
        """Start executions at once, and come back when all of them and all their processes are there.

        `limits` are Celery's time limits, which only Celery's own way of sending takes.
        """
        sent = []
        for ref in refs:
            file = self._file()
            task_id = (
                self.client.send_task(NAME, [ref, {"file": str(file)}], **cast("Any", limits)).id
                if limits
                else enqueue(ref, {"file": str(file)}, timeout=timeout, app=self.client).task_id
            )
            sent.append((ref, file, task_id))
        return [self._begun(*each) for each in sent]

    def begin_all(self, timeout: float | None = None, **limits: int) -> list[Begun]:
        """Start one of each kind."""
        return self.begin(*KINDS, timeout=timeout, **limits)

    def begin_neighbour(self) -> Begun:
        """Start the one which nothing concerns."""
        (neighbour,) = self.begin(NEIGHBOUR)
        return neighbour

    def begin_naive(self) -> Begun:
        """Start a task that calls subprocess itself."""
        file = self._file()
        sent = self.client.send_task("naive", [str(self.program), str(file)])
        return self._begun("naive", file, sent.id)

    def handle(self, begun: Begun) -> Handle:
        """Give the handle of an execution."""
        return Handle.from_task_id(begun.task_id, app=self.client)

    def ends(self, begun: Iterable[Begun]) -> dict[str, tuple[str, str | None, str]]:
        """Wait for the ends of executions; give by ref status, type of error, and Celery's state."""
        found: dict[str, tuple[str, str | None, str]] = {}
        for each in begun:
            result = self.handle(each).result(timeout=SECONDS)
            kind = result.error["type"] if result.error else None
            found[each.ref] = (result.status, kind, self.state(each))
        return found

    def state(self, begun: Begun) -> str:
        """Give Celery's state."""
        return str(self.client.AsyncResult(begun.task_id).state)

    def whole(self, running: CeleryWorker) -> Tracks:
        """Give by what is recognised whatever there is of a worker and its executions now."""
        main = Seen.of(running.process.pid)
        folders = frozenset(self._others(()))
        return Tracks(frozenset({main, *below(main)}), (self.place.folder,), folders)

    def with_launchers(self, tracks: Tracks, running: CeleryWorker) -> Tracks:
        """Give `tracks` with all launchers of a worker, those that wait for their next execution, too."""
        launchers = {seen for seen in below(Seen.of(running.process.pid)) if _is_launcher(seen)}
        assert launchers
        return replace(tracks, processes=tracks.processes | launchers)

    def assert_undisturbed(self, neighbour: Begun) -> None:
        """See that the neighbour goes on, and succeeds; and that then there is nothing in the temporary folder."""
        assert self.state(neighbour) == "STARTED"
        self.assert_empty(neighbour.folder)
        assert neighbour.main.lives()
        neighbour.go()
        self.assert_succeeded(neighbour)
        self.assert_empty()

    def assert_succeeded(self, neighbour: Begun) -> None:
        """See that the neighbour succeeds, and that nobody has touched its folder and its child."""
        result = self.handle(neighbour).result(timeout=SECONDS)
        assert (result.status, result.result) == ("succeeded", UNDISTURBED), result

    def assert_empty(self, *allowed: Path) -> None:
        """See that no folder at all is left; a launcher keeps an empty one ready for a moment."""
        deadline = now() + 4
        while left := {path: held_by(path) for path in self._others(allowed)}:
            assert now() < deadline, f"folders left for seconds, with what is in them: {left}"
            time.sleep(0.02)

    def _others(self, allowed: tuple[Path, ...]) -> list[Path]:
        # Celery's pool makes one that begins with pymp-, and leaves it.
        return [path for path in self.temp.iterdir() if path not in allowed and not path.name.startswith("pymp-")]

    def _file(self) -> Path:
        return self.place.folder / f"execution-{next(self._numbers)}"

    def _begun(self, ref: str, file: Path, task_id: str) -> Begun:
        try:
            wait_until(file.exists, f"the start of {ref}", SECONDS)
        except AssertionError as error:
            log = (self.place.folder / "worker.log").read_text(encoding="utf-8", errors="replace")
            lines = [line for line in log.splitlines() if task_id in line] + log.splitlines()[-60:]
            error.add_note(
                f"its state is {self.client.AsyncResult(task_id).state}; the worker said:\n" + "\n".join(lines)
            )
            raise
        main = Seen.of(int(file.read_text(encoding="utf-8")))
        pids = Path(f"{file}.pids")
        noted = frozenset(Seen.of(int(line)) for line in pids.read_text(encoding="utf-8").split())
        assert len(noted) == (PROCESSES if ref != NEIGHBOUR else 2)
        launcher = parent_of(main)
        folder = Path(os.readlink(f"/proc/{main.pid}/cwd"))  # noqa: PTH115 - of a process
        assert list(folder.iterdir()), folder
        assert _is_launcher(launcher) is (ref != "naive")
        tree = noted | below(launcher if ref != "naive" else main)
        return Begun(
            ref=ref,
            task_id=task_id,
            file=file,
            main=main,
            launcher=launcher,
            slot=parent_of(launcher) if ref != "naive" else launcher,
            folder=folder,
            tracks=Tracks(tree, (folder, pids), frozenset({folder})),
        )


def _is_launcher(process: Seen) -> bool:
    """Tell a launcher, or a fork of one, by its name."""
    try:
        return Path(f"/proc/{process.pid}/comm").read_text(encoding="utf-8") == "attune-launcher\n"
    except OSError:
        return False


def tracks_of(begun: Sequence[Begun], *, launchers: bool = False, slots: bool = False) -> Tracks:
    """Give by what is recognised what must go with executions, their launchers and pool processes among it or not."""
    tracks = begun[0].tracks
    for each in begun[1:]:
        tracks |= each.tracks
    hosts = {each.launcher for each in begun if launchers} | {each.slot for each in begun if slots}
    return replace(tracks, processes=tracks.processes | hosts)


def kill_all(processes: Iterable[Seen]) -> None:
    """End what a test has found left, each by its number."""
    for process in processes:
        with suppress(ProcessLookupError):
            if process.lives():
                os.kill(process.pid, signal.SIGKILL)
