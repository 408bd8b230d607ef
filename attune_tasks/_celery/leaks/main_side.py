"""The part of leak-check in a worker's main process: starts the scanner, passes on what the client asks, cleans up.

The main process learns no canary: its memory is one of the surfaces.
"""

from __future__ import annotations

import logging
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping
from secrets import token_hex
from typing import Any, Final

from celery import Celery

from attune_tasks._celery.leaks.added import makers_of_added
from attune_tasks._celery.leaks.debug_records import hide_records, show_records
from attune_tasks._celery.leaks.names import QUEUE_PREFIX, SCANNER_COMMAND
from attune_tasks._celery.leaks.queues import forget_queue
from attune_tasks._celery.leaks.scanner_socket import ask_scanner
from attune_tasks._celery.leaks.scanner_task import ScannerTask
from attune_tasks._celery.per_app import state_of
from attune_tasks.errors import AttuneTasksError

__all__ = ["MAIN_SIDE", "MainSide"]

logger: Final = logging.getLogger("attune_tasks.worker")

_LOOK_SECONDS: Final = 2.0
_END_SECONDS: Final = 1.0
_LONGEST_WALK: Final = 200.0
"""Seconds; the client waits for no more than 300 in all."""
_PASSED_ON: Final = frozenset({"poll", "watch", "send", "over", "end", "close"})


class MainSide:
    """One worker's; at most one check at a time."""

    def __init__(self) -> None:
        """Begin with no check."""
        self._scanner: subprocess.Popen[bytes] | None = None
        self._queue: Any = None
        self._timer: Any = None

    def answer(self, state: Any, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer one control command; ``refused`` says why nothing was done."""
        app: Celery = state.app
        ours = state_of(app)
        if not ours.leak_check_address or ours.worker_pid is None:
            return {"refused": "the setting leak_check.enabled is off on this worker"}
        if sys.platform != "linux":
            return {"refused": "leak-check reads /proc, which this worker's system does not have"}
        op = request.get("op")
        if op == "ask":
            return {"busy": self._is_running(), "pool": _pool_of(state)}
        if op == "begin":
            return self._begin(state, ours.leak_check_address, ours.worker_pid, request)
        return self._pass_on(state, ours.leak_check_address, ours.worker_pid, request)

    def _pass_on(self, state: Any, address: str, main_pid: int, request: Mapping[str, Any]) -> dict[str, Any]:
        op = request.get("op")
        if op not in _PASSED_ON or not self._is_running():
            return {"refused": "no check runs on this worker: its scanner has ended"}
        try:
            answer = ask_scanner(address, main_pid, request)
        except AttuneTasksError as error:
            # In the first second it is not there yet.
            return {"phase": "starting"} if op == "poll" else {"refused": str(error)}
        if op == "close":
            self._end_scanner()
            self._clean_up(state.consumer)
        return answer

    def _is_running(self) -> bool:
        return self._scanner is not None and self._scanner.poll() is None

    def _begin(self, state: Any, address: str, main_pid: int, request: Mapping[str, Any]) -> dict[str, Any]:
        if self._is_running():
            return {"refused": "another check runs on this worker; it ends two minutes after its client has gone"}
        self._clean_up(state.consumer)
        name = QUEUE_PREFIX + token_hex(8)
        task = ScannerTask(
            state.app,
            address,
            main_pid,
            state.hostname,
            name,
            own_redis=bool(request.get("own_redis")),
            flower=_text(request.get("flower")),
            vault_audit_log=_text(request.get("vault_audit_log")),
            file_seconds=min(_LONGEST_WALK, max(0.0, float(request.get("file_seconds") or 0.0))),
            added=makers_of_added(),
            asks_vault=bool(request.get("asks_vault")),
            runs_ref=bool(request.get("runs_ref")),
        )
        try:
            pickled = pickle.dumps(task)
        except Exception as error:  # noqa: BLE001 - whatever an app holds that can't be pickled
            return {"refused": f"this worker's Celery app can't be handed to the scanner: {type(error).__name__}"}
        command = [sys.executable, "-m", SCANNER_COMMAND]
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        scanner = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environ)
        if scanner.stdin is not None:
            with scanner.stdin as pipe:
                pipe.write(pickled)
        self._scanner = scanner
        show_records(address, main_pid)
        state.consumer.add_task_queue(name)
        self._queue = state.app.amqp.queues[name]
        self._timer = state.consumer.timer.call_repeatedly(_LOOK_SECONDS, self._look, (state.consumer,))
        logger.info("leak-check begins: its executions come by the queue %s", name)
        return {"queue": name}

    def _end_scanner(self) -> None:
        """Have it ended: it is about to, unless it is in the midst of a look."""
        if self._scanner is not None:
            try:
                self._scanner.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self._scanner.kill()
                self._scanner.wait()

    def _look(self, consumer: Any) -> None:
        """End with the scanner, which ends itself when its client is gone."""
        if not self._is_running():
            self._clean_up(consumer)

    def _clean_up(self, consumer: Any) -> None:
        """Take away all that a check has brought, as far as there is one."""
        hide_records()
        queue, self._queue = self._queue, None
        if queue is None:
            return
        self._timer.cancel()
        consumer.cancel_task_queue(queue.name)
        consumer.app.amqp.queues.pop(queue.name, None)
        try:
            forget_queue(consumer.app, queue.name)
        except Exception as error:  # noqa: BLE001 - the broker's own, whose text may quote a URL
            logger.warning("the queue of leak-check can't be deleted: %s", type(error).__name__)
        logger.info("leak-check has ended")


MAIN_SIDE: Final = MainSide()
"""This process's: a main process is one worker."""


def _pool_of(state: Any) -> str:
    return type(state.consumer.pool).__module__.rpartition(".")[2]


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
