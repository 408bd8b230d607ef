"""Closing a worker's own processes to others of the same user: actions are such others."""

from __future__ import annotations

import sys
from typing import Any, Final

from celery import current_app, signals

from attune_tasks._celery.per_app import state_of
from attune_tasks.errors import AttuneTasksError

__all__ = ["become_undumpable"]

_PR_SET_DUMPABLE: Final = 4  # linux/prctl.h


@signals.worker_init.connect
def close_main_process(sender: Any, **_: Any) -> None:
    """Close the main process, and so the pool processes, which are forked from it."""
    _close_if_set(sender.app)


@signals.worker_process_init.connect
def close_pool_process(**_: Any) -> None:
    """Close a pool process, which with the start method ``spawn`` is no fork."""
    _close_if_set(current_app)


def become_undumpable() -> bool:
    """Let no other process of this user read this one's memory, environment or descriptors, nor trace it; no core dump.

    Give whether it was done: Linux only (prctl(2), PR_SET_DUMPABLE).
    """
    if sys.platform != "linux":
        return False
    import ctypes  # 3 ms, which clients need not pay

    return bool(ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0)


def _close_if_set(app: Any) -> None:
    try:
        undumpable = state_of(app).loaded.settings.launchers.undumpable
    except AttuneTasksError:
        return  # the worker does not start, and says why
    if undumpable:
        become_undumpable()
