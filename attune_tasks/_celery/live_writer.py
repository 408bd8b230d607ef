"""The thread of a process that writes what its executions say to shared state, so that none of them waits for it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final

from celery import Celery

from attune_tasks._celery.live_client import GIVE_UP_SECONDS, impatient
from attune_tasks.quiet_threads import start_quiet_thread

__all__ = ["LiveWriter", "live_writer"]

_ATTRIBUTE: Final = "_attune_tasks_live_writer"
_lock: Final = threading.Lock()


class LiveWriter:
    """Clients that give up soon, a queue, and a thread, which is started with the first batch."""

    def __init__(self) -> None:
        """Connect to nothing yet."""
        self._clients: dict[int, tuple[Any, Any]] = {}
        self._queue: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._down_until = 0.0

    def is_up(self) -> bool:
        """Say whether writing is worth a try: for as long as a try takes, a failed one is not repeated."""
        return time.monotonic() >= self._down_until

    def failed(self) -> None:
        """Note that shared state could not be reached."""
        self._down_until = time.monotonic() + GIVE_UP_SECONDS

    def client(self, patient: Any) -> Any:
        """Give the client that is like `patient`, and gives up soon."""
        pool = patient.connection_pool
        with self._lock:
            if id(pool) not in self._clients:
                self._clients[id(pool)] = (pool, impatient(patient))  # the pool is kept, so that its id stays its own
            return self._clients[id(pool)][1]

    def soon(self, write: Callable[[], None]) -> None:
        """Have the thread call `write`, which raises nothing."""
        self._queue.put(write)
        if self._thread is None:
            with self._lock:
                self._thread = self._thread or start_quiet_thread(self._run, "attune-live")

    def _run(self) -> None:
        while True:
            self._queue.get()()


def live_writer(app: Celery) -> LiveWriter:
    """Give the writer of `app` in this process; a forked one makes its own."""
    with _lock:
        kept = app.__dict__.get(_ATTRIBUTE)
        if kept is None or kept[0] != os.getpid():
            kept = app.__dict__[_ATTRIBUTE] = (os.getpid(), LiveWriter())
        made: LiveWriter = kept[1]
        return made
