"""What befalls a soak: workers are killed and started again in turn, and every third time Redis is."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import Final, NamedTuple

from tests.celery_worker import CeleryWorker
from tests.redis_server import RedisServer

__all__ = ["BY_ITSELF", "REDIS", "WORKERS", "Chaos", "Kill"]

REDIS: Final = "Redis killed and started"
WORKERS: Final = "workers killed and started"
BY_ITSELF: Final = "workers that ended by themselves"


class Kill(NamedTuple):
    """When a worker was killed."""

    worker: str
    """Its name, without the host."""
    begun: float
    """By time.time(), as what follows."""
    over: float
    """When nothing of it was left: its pool processes outlive the main one, and its next start ends them."""


class Chaos:
    """A thread. While it has `quiet`, Redis may be gone."""

    def __init__(self, workers: Mapping[str, CeleryWorker], redis: RedisServer, pause: float) -> None:
        """Do nothing yet; `workers` have their names, and `pause` is in seconds."""
        self.quiet = threading.Lock()
        self.kills: list[Kill] = []
        self.counts: Counter[str] = Counter()
        self.failure: BaseException | None = None
        self._workers = workers
        self._redis = redis
        self._pause = pause
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def note_end(self, worker: CeleryWorker) -> None:
        """Count a worker that nobody has killed, where it has ended."""
        self.counts[BY_ITSELF] += not worker.is_running()

    def stop(self) -> None:
        """End it when what was killed is there again. Raises what it failed of."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        workers = itertools.cycle(self._workers.items())
        try:
            for number in itertools.count(1):
                if self._over.wait(self._pause):
                    return
                if number % 3 == 0:
                    with self.quiet:
                        self._redis.kill(signal.SIGKILL)
                        self._redis.start()
                    self.counts[REDIS] += 1
                else:
                    name, worker = next(workers)
                    self.note_end(worker)
                    begun = time.time()
                    worker.kill(signal.SIGKILL)
                    worker.stop()  # what is left of its group
                    self.kills.append(Kill(name, begun, time.time()))
                    self.counts[WORKERS] += 1
                    worker.start()
        except BaseException as error:  # noqa: BLE001 - told by stop()
            self.failure = error
