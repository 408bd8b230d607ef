"""The way from a worker's main process into its pool processes: "end this execution", by execution id, and "close".

Each fork of the main process is given one end of a socket pair, made just before. It has no name, so nobody else can
find it; it needs no file, so nothing is left of it; and what is sent before a pool process listens waits in it. What
was noted before the fork is in the memory that the pool process got with it. So no order of events loses a message,
however pool processes come and go.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, get_args

from attune_tasks._celery.executions_here import EXECUTIONS, ExecutionsHere, Reason
from attune_tasks.quiet_threads import start_quiet_thread

__all__ = ["CHANNELS", "PoolChannels"]

logger: Final = logging.getLogger("attune_tasks.worker")

# Whole messages, with no bound on their number but the buffer's; macOS has no such pairs.
_KIND: Final = socket.SOCK_SEQPACKET if sys.platform == "linux" else socket.SOCK_DGRAM
_MESSAGE_BYTES: Final = 128
_CLOSE: Final = b"close"


class PoolChannels:
    """In the main process an end for each fork, in a pool process the other end of one."""

    def __init__(self, executions: ExecutionsHere) -> None:
        """Make none until :meth:`open`. `executions` are those of a pool process."""
        self._executions = executions
        self._lock = (
            threading.RLock()
        )  # held from before a fork until after it: no other fork inherits a half-made pair
        self._is_open = self._has_hooks = False
        self._pools: list[socket.socket] = []
        self._pair: tuple[socket.socket, socket.socket] | None = None
        self._own: socket.socket | None = None

    def open(self) -> None:
        """Give a channel to each process that is forked from now on."""
        self._is_open = True
        if not self._has_hooks:
            self._has_hooks = True
            os.register_at_fork(
                before=self._before_fork,
                after_in_parent=self._after_fork_in_parent,
                after_in_child=self._after_fork_in_child,
            )

    def close(self) -> None:
        """Give no more channels, and close those that are."""
        with self._lock:
            self._is_open = False
            for end in self._pools:
                end.close()
            self._pools = []

    def send(self, execution_id: int, reason: Reason) -> int:
        """Have each pool process cancel or note an execution; give how many were told."""
        return self._send(f"{reason} {execution_id}".encode(), f"cancel {execution_id}")

    def send_close(self) -> None:
        """Have each pool process close what it keeps ready for further executions: there will be none."""
        self._send(_CLOSE, "close its launchers")

    def listen(self, close: Callable[[], None]) -> None:
        """In a pool process: act upon what the main process sends, in a thread. Elsewhere: do nothing.

        `close` is called once, in a thread of its own, when the main process says so.
        """
        own = self._own
        if own is None:
            return
        start_quiet_thread(lambda: self._act(own, close), "attune-cancel")

    def _send(self, message: bytes, what: str) -> int:
        told = 0
        with self._lock:
            for end in list(self._pools):
                try:
                    end.send(message)
                    told += 1
                except BlockingIOError:
                    logger.warning("a pool process takes no messages: it was not told to %s", what)
                except OSError:  # it has ended
                    self._drop(end)
        return told

    def _act(self, own: socket.socket, close: Callable[[], None]) -> None:
        closing = False
        with suppress(OSError):
            while data := own.recv(_MESSAGE_BYTES):
                if data == _CLOSE:
                    if not closing:
                        start_quiet_thread(close, "attune-close")  # it waits for ends, which a cancellation must not
                    closing = True
                    continue
                word, _, number = data.decode(errors="replace").partition(" ")
                reason: Reason | None = next((known for known in get_args(Reason) if known == word), None)
                if reason is not None and number.isdecimal():
                    self._executions.cancel(int(number), reason)

    def _before_fork(self) -> None:
        self._lock.acquire()
        if not self._is_open:
            return
        for end in list(self._pools):
            poll = select.poll()
            poll.register(end, 0)  # hang-ups are told unasked
            if poll.poll(0):
                self._drop(end)
        try:
            self._pair = socket.socketpair(socket.AF_UNIX, _KIND)
        except OSError as error:
            logger.warning("a pool process gets no channel, so that nothing in it can be cancelled: %s", error.strerror)

    def _after_fork_in_parent(self) -> None:
        if self._pair is not None:
            ours, theirs = self._pair
            self._pair = None
            theirs.close()
            ours.setblocking(False)  # noqa: FBT003 - it takes no name
            self._pools.append(ours)
        self._lock.release()

    def _after_fork_in_child(self) -> None:
        pair, self._pair = self._pair, None
        was_open, self._is_open = self._is_open, False
        for end in self._pools:
            end.close()
        self._pools = []
        self._lock = threading.RLock()
        if was_open:
            self._executions.after_fork()
        if pair is not None:
            pair[0].close()
            self._own = pair[1]

    def _drop(self, end: socket.socket) -> None:
        end.close()
        self._pools.remove(end)


CHANNELS: Final = PoolChannels(EXECUTIONS)
"""Those of this process."""
