"""The figures of executions, on their way to the worker's main process, which counts them and is asked for them.

Prometheus' own way for several processes (PROMETHEUS_MULTIPROC_DIR) was not taken: it is a folder which has to be
there, and empty, before anything is imported; it gets files of every pool process that ever was, and each scrape reads
them all; and it changes how the application's own metrics work. Celery's messages from the pool have the result as 200
characters of text, and events are for monitors: they may be off. So a pool process sends each execution's figures
through a socket pair which it got with the fork: one packet of some 200 bytes, never waited for. What the main process
alone sees, such as a pool process that was killed, it counts itself, and nothing is lost where pool processes come and
go.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from attune_tasks.audit import watch_reads
from attune_tasks.ids import execution_id_of, made_at, task_id_of

if TYPE_CHECKING:
    from attune_tasks.result import ExecutionResult
    from attune_tasks.secrets import ReadRecord

__all__ = ["FIGURES", "Figures", "seconds_waited"]

# Whole packets, whose number is bounded by the buffer's size only; macOS has no such pairs.
_KIND: Final = socket.SOCK_SEQPACKET if sys.platform == "linux" else socket.SOCK_DGRAM
_PACKET_BYTES: Final = 4096
_LONGEST_WAIT_SECONDS: Final = 30 * 86_400.0
_CLOCKS_DIFFER_SECONDS: Final = 60.0

Take = Callable[[Mapping[str, Any]], None]


class Figures:
    """In a worker's main process, and in what it forks, the way to who counts; elsewhere it does nothing."""

    def __init__(self) -> None:
        """Have nobody who counts."""
        self._take: Take | None = None
        self._main = 0
        self._ours: socket.socket | None = None
        self._theirs: socket.socket | None = None
        self._lost = 0
        self._has_hooks = False

    def open(self, take: Take) -> None:
        """Have `take` called with each execution's figures, of this process and of those that it forks from now on."""
        self.close()
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, _KIND)
        self._theirs.setblocking(False)  # noqa: FBT003 - it takes no name
        self._take, self._main = take, os.getpid()
        if not self._has_hooks:
            self._has_hooks = True
            os.register_at_fork(after_in_child=self._after_fork)
            watch_reads(self._read)

    def close(self) -> None:
        """Have nobody any more."""
        self._take = None
        for end in (self._ours, self._theirs):
            if end is not None:
                end.close()
        self._ours = self._theirs = None

    def receive(self) -> None:
        """Take what other processes send, until :meth:`close`; in a thread of the main process."""
        ours = self._ours
        with suppress(OSError):
            while ours is not None and self._take is not None:
                packet = ours.recv(_PACKET_BYTES)
                with suppress(ValueError, TypeError, KeyError):  # a packet that was cut
                    self._take(json.loads(packet))

    def end(self, action: str, status: str) -> None:
        """Tell of an execution that ended, of which no more is known."""
        self._tell({"action": action, "status": status})

    def result(self, result: ExecutionResult, waited: float | None) -> None:
        """Tell how an execution ended, and how many seconds it had waited for a slot."""
        if self._take is None:
            return
        places: Counter[str] = Counter()
        for counts in result.masked.values():
            places.update(counts)
        figures = {"action": result.action_ref, "status": result.status, "waited": waited, "masked": places}
        if result.started_at is not None:
            figures["seconds"] = result.duration_ms / 1000
        self._tell(figures)

    def retry(self, action: str) -> None:
        """Tell that another attempt follows."""
        self._tell({"action": action, "retries": 1})

    def _read(self, action: str, records: Iterable[ReadRecord]) -> None:
        outcomes = Counter(
            (each.provider, "cached" if each.cached and each.outcome == "read" else each.outcome) for each in records
        )
        if outcomes:
            reads = [[provider, outcome, count] for (provider, outcome), count in outcomes.items()]
            self._tell({"action": action, "reads": reads})

    def _tell(self, figures: Mapping[str, Any]) -> None:
        take, theirs = self._take, self._theirs
        if take is None or theirs is None:
            return
        try:
            if os.getpid() == self._main:
                take({**figures, "lost": self._lost})
            else:
                theirs.send(json.dumps({**figures, "lost": self._lost}, separators=(",", ":")).encode())
            self._lost = 0
        except Exception:  # noqa: BLE001 - no execution fails for its figures; mostly, the main process is behind, or gone
            self._lost += 1

    def _after_fork(self) -> None:
        self._lost = 0
        if self._ours is not None:
            self._ours.close()


FIGURES: Final = Figures()
"""Those of this process."""


def seconds_waited(request: Any) -> float | None:
    """Say how long the execution of a task's request has waited, from when it was made or was due.

    None: that is not known, for its id is not one of ours, or this is not its first attempt.
    """
    task_id = request.id
    if not task_id or request.retries or task_id_of(execution_id_of(task_id)) != task_id:
        return None
    since = made_at(execution_id_of(task_id))
    with suppress(TypeError, ValueError, OverflowError):  # a stranger's
        since = max(since, datetime.fromisoformat(request.eta).timestamp()) if request.eta else since
    waited = time.time() - since
    if waited > _LONGEST_WAIT_SECONDS or waited < -_CLOCKS_DIFFER_SECONDS:
        return None  # an id that a caller has given tells no time
    return max(0.0, waited)
