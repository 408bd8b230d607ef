"""What this worker has claimed and its pool has not begun: given back when the worker ends or its connection is lost.

After a lost connection Celery forgets such requests, and the broker delivers their messages again when it likes, and to
whom it likes: Redis after its visibility timeout, of an hour. Were they still claimed, nobody would run them.

And Celery's pool itself may lose one, as was seen now and then where pool processes are killed on a busy machine: it
has the task, its processes are free, and none gets it. Who only waits for a pool would wait for ever.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, Final, Protocol

from celery import bootsteps
from celery.worker import state as worker_state

from attune_tasks._celery.per_app import state_of

__all__ = ["WAITING", "GiveBack", "Waiting"]

logger: Final = logging.getLogger("attune_tasks.claims")

_LOOKS_PER_EXPIRY: Final = 6


class Claimed(Protocol):
    """A request with a claim."""

    @property
    def is_handed_over(self) -> bool:
        """Whether the pool has it, and runs it even while the worker ends."""

    def give_back(self, *, publish: bool) -> None:
        """Give up the claim; with `publish`, send the message once more, for it is with nobody any more."""

    def lost_by_pool(self) -> None:
        """Do that, and be done with this message: the pool has lost it."""


class Waiting:
    """The requests, by the token of their claims. For any thread."""

    def __init__(self) -> None:
        """Hold none."""
        self._lock = threading.Lock()
        self._requests: dict[str, Claimed] = {}
        self._idle_since: dict[str, float] = {}
        """Of what the pool has: since when a slot has been free for it, by time.monotonic()."""

    def add(self, token: str, request: Claimed) -> None:
        """Hold a request that was just claimed."""
        with self._lock:
            self._requests[token] = request

    def remove(self, token: str) -> None:
        """Let go of one that runs, or is over."""
        with self._lock:
            self._requests.pop(token, None)
            self._idle_since.pop(token, None)

    def send_lost_again(self, seconds: float, *, is_slot_free: bool) -> int:
        """Send again what the pool has had for `seconds` while a slot was free at each look; give how many that were.

        Should the pool begin it after all, its claim is another's by then, and nothing is run.
        """
        now = time.monotonic()
        with self._lock:
            if not is_slot_free:
                self._idle_since.clear()
                return 0
            has = {token: request for token, request in self._requests.items() if request.is_handed_over}
            self._idle_since = {token: self._idle_since.get(token, now) for token in has}
            lost = {token: has[token] for token, since in self._idle_since.items() if now - since >= seconds}
            for token in lost:
                del self._requests[token], self._idle_since[token]
        for request in lost.values():
            try:
                request.lost_by_pool()
            except Exception as error:  # noqa: BLE001 - the client's own, whose text may quote the URL
                logger.warning("a claim can't be given back, and expires: %s", type(error).__name__)
        return len(lost)

    def give_back(self, *, publish: bool, from_pool: bool) -> int:
        """Give up the claims; with `from_pool`, of what the pool has, too; with `publish`, send the messages again.

        Gives how many that were. One that can't be given up for now expires.
        """
        with self._lock:
            given = {
                token: request for token, request in self._requests.items() if from_pool or not request.is_handed_over
            }
            for token in given:
                del self._requests[token]
        for request in given.values():
            try:
                request.give_back(publish=publish)
            except Exception as error:  # noqa: BLE001 - the client's own, whose text may quote the URL
                logger.warning("a claim can't be given back, and expires: %s", type(error).__name__)
        return len(given)


class GiveBack(bootsteps.StartStopStep):
    """Gives claims back: before the worker's channel is closed, which gives the messages back; after a reconnect.

    And looks for what the pool has lost.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)
    _timer: Any = None

    def start(self, parent: Any) -> None:
        """Publish anew what was claimed by the connection before this one."""
        if parent.restart_count > 0 and (count := WAITING.give_back(publish=True, from_pool=True)):
            logger.warning("%s messages whose connection was lost were sent again", count)
        expiry = state_of(parent.app).loaded.settings.claims.expiry
        self._timer = parent.timer.call_repeatedly(expiry / _LOOKS_PER_EXPIRY, self._look, (parent.pool, expiry))

    def stop(self, parent: Any) -> None:  # noqa: ARG002 - Celery's own
        """Look no more."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def close(self, parent: Any) -> None:  # noqa: ARG002 - Celery's own
        """Give up what the worker will not run any more: who gets its message next may claim it."""
        WAITING.give_back(publish=False, from_pool=False)

    def _look(self, pool: Any, expiry: float) -> None:
        is_slot_free = len(worker_state.active_requests) < int(pool.num_processes or 1)
        if count := WAITING.send_lost_again(expiry, is_slot_free=is_slot_free):
            logger.warning(
                "%s messages were sent again: for %g s the pool had a free slot, and began with none of them",
                count,
                expiry,
            )


WAITING: Final = Waiting()
"""Those of this process."""
