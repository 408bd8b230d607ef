"""What this worker has claimed and its pool has not begun: given back when the worker ends or its connection is lost.

After a lost connection Celery forgets such requests, and the broker delivers their messages again when it likes, and to
whom it likes: Redis after its visibility timeout, of an hour. Were they still claimed, nobody would run them.
"""

from __future__ import annotations

import logging
import threading
from typing import Any, Final, Protocol

from celery import bootsteps

__all__ = ["WAITING", "GiveBack", "Waiting"]

logger: Final = logging.getLogger("attune_tasks.claims")


class Claimed(Protocol):
    """A request with a claim."""

    @property
    def is_handed_over(self) -> bool:
        """Whether the pool has it, and runs it even while the worker ends."""

    def give_back(self, *, publish: bool) -> None:
        """Give up the claim; with `publish`, send the message once more, for it is with nobody any more."""


class Waiting:
    """The requests, by the token of their claims. For any thread."""

    def __init__(self) -> None:
        """Hold none."""
        self._lock = threading.Lock()
        self._requests: dict[str, Claimed] = {}

    def add(self, token: str, request: Claimed) -> None:
        """Hold a request that was just claimed."""
        with self._lock:
            self._requests[token] = request

    def remove(self, token: str) -> None:
        """Let go of one that runs, or is over."""
        with self._lock:
            self._requests.pop(token, None)

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
    """Gives claims back: before the worker's channel is closed, which gives the messages back; after a reconnect."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, parent: Any) -> None:
        """Publish anew what was claimed by the connection before this one."""
        if parent.restart_count > 0 and (count := WAITING.give_back(publish=True, from_pool=True)):
            logger.warning("%s messages whose connection was lost were sent again", count)

    def close(self, parent: Any) -> None:  # noqa: ARG002 - Celery's own
        """Give up what the worker will not run any more: who gets its message next may claim it."""
        WAITING.give_back(publish=False, from_pool=False)


WAITING: Final = Waiting()
"""Those of this process."""
