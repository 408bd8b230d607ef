"""The executions that run in this process, and those that are not to run: found by execution id, never by pid."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal

from attune_tasks.process import Cancellation

__all__ = ["EXECUTIONS", "ExecutionCancellation", "ExecutionsHere", "Reason"]

Reason = Literal["cancelled", "revoked", "worker_shutdown", "soft_time_limit", "claim_lost"]
"""Why an execution is ended by its worker."""

_NOTED_SECONDS: Final = 3 * 3600.0
"""As long as Celery remembers what it revoked."""
_NOTED_AT_MOST: Final = 10_000


class ExecutionCancellation(Cancellation):
    """A cancellation that knows why: the first reason counts."""

    def __init__(self) -> None:
        """Be asked for nothing yet."""
        super().__init__()
        self.reason: Reason = "cancelled"

    def cancel_for(self, reason: Reason) -> None:
        """Ask for the end of the execution. Later calls change nothing."""
        if not self.requested:
            self.reason = reason
        self.cancel()


class ExecutionsHere:
    """What runs in one process, and a bounded memory of ids whose executions are not to run. For any thread."""

    def __init__(self) -> None:
        """Know of none."""
        self._lock = threading.RLock()  # re-entrant: a worker's shutdown begins in a signal handler
        self._running: dict[int, list[ExecutionCancellation]] = {}
        self._noted: dict[int, tuple[float, Reason]] = {}
        """By execution id, the oldest first: until when by time.monotonic(), and why."""

    @contextmanager
    def running(self, execution_id: int) -> Iterator[ExecutionCancellation]:
        """Count an execution as running here. Its cancellation is asked for already where it was noted before."""
        cancellation = ExecutionCancellation()
        with self._lock:
            # The same execution may run twice, where a broker delivered its message twice.
            self._running.setdefault(execution_id, []).append(cancellation)
            if (reason := self.noted(execution_id)) is not None:
                cancellation.cancel_for(reason)
        try:
            yield cancellation
        finally:
            with self._lock:
                self._running[execution_id].remove(cancellation)
                if not self._running[execution_id]:
                    del self._running[execution_id]
            cancellation.close()

    def cancel(self, execution_id: int, reason: Reason) -> bool:
        """Cancel an execution that runs here, and note one that does not; give whether it runs here.

        One that is ended for a worker's shutdown or its lost claim is not noted: it may run elsewhere, later.
        """
        with self._lock:
            if reason not in {"worker_shutdown", "claim_lost"}:
                self._note(execution_id, reason)
            found = self._running.get(execution_id, ())
            for cancellation in found:
                cancellation.cancel_for(reason)
            return bool(found)

    def noted(self, execution_id: int) -> Reason | None:
        """Say why an execution is not to run; None: it may."""
        until, reason = self._noted.get(execution_id, (0.0, None))
        return reason if until > time.monotonic() else None

    def runs(self, execution_id: int) -> bool:
        """Say whether an execution runs in this process."""
        return execution_id in self._running

    def after_fork(self) -> None:
        """Be the memory of a forked process: what runs in the other does not run here, and its lock may be held."""
        self._lock = threading.RLock()
        self._running = {}

    def _note(self, execution_id: int, reason: Reason) -> None:
        now = time.monotonic()
        self._noted.pop(execution_id, None)
        self._noted[execution_id] = (now + _NOTED_SECONDS, reason)
        while self._noted:
            oldest = next(iter(self._noted))
            if len(self._noted) <= _NOTED_AT_MOST and self._noted[oldest][0] > now:
                return
            del self._noted[oldest]


EXECUTIONS: Final = ExecutionsHere()
"""Those of this process."""
