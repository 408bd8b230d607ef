"""What a worker does at its start: refuses what can't work in one line, and readies its pool processes."""

from __future__ import annotations

import logging
import os
from typing import Any, Final

from celery import signals
from celery._state import get_current_app  # what the proxy celery.current_app asks

from attune_tasks._celery import worker_defaults as _worker_defaults  # noqa: F401 - connects its signal
from attune_tasks._celery.embedded import EMBEDDED_DRIVER
from attune_tasks._celery.observing import tell
from attune_tasks._celery.per_app import state_of
from attune_tasks.errors import AttuneTasksError
from attune_tasks.platforms import platform_notice

__all__ = ["end_launchers", "note_beat", "prepare_worker", "report_start", "settle_embedded_default", "tell_of_end"]

logger: Final = logging.getLogger("attune_tasks.worker")

_EMBEDDED_WAIT_SECONDS: Final = 0.1
_REFUSED_POOLS: Final = ("gevent", "eventlet")


@signals.worker_init.connect
def prepare_worker(sender: Any, **_: Any) -> None:
    """Check pool, settings and packs in the main process; SystemExit says in place of a log why not."""
    pool = _pool_name(sender.pool_cls)
    if pool in _REFUSED_POOLS:
        why = f"attune_tasks can't run in the {pool} pool, which can't wait for child processes"
        msg = f"{why}: use prefork, threads or solo"
        raise SystemExit(msg)
    failure = ""
    state = state_of(sender.app)
    state.worker_pid = os.getpid()
    try:
        if state.loaded.settings.leak_check.enabled:
            from attune_tasks._celery.leaks.scanner_socket import new_address

            state.leak_check_address = new_address()  # before pool processes are forked, which are to know it
        state.registry  # noqa: B018 - loads and checks them
        state.message_keys  # noqa: B018
    except AttuneTasksError as error:
        failure = f"the worker is not started: {error}"
    if failure:
        raise SystemExit(failure)


@signals.celeryd_after_setup.connect
def report_start(instance: Any, **_: Any) -> None:
    """Say in the log, which is there by now, what the worker has found."""
    state = state_of(instance.app)
    count = len(state.registry)
    logger.log(logging.INFO if count else logging.WARNING, "%s actions are known (setting `packs`)", count)
    for warning in state.loaded.warnings:
        logger.warning("%s", warning)
    if notice := platform_notice():
        logger.warning("%s", notice)


@signals.worker_ready.connect
def settle_embedded_default(sender: Any, **_: Any) -> None:
    """Make the embedded broker quick to stop, and delete the embedded backend's expired results.

    Celery's blocking loop waits 2 s at a time and does not see a signal meanwhile. Hardly anybody starts a beat, whose
    task the deleting is, for a backend that needs no server.
    """
    transport = sender.connection.transport
    if transport.driver_type == EMBEDDED_DRIVER:
        transport.longest_wait = _EMBEDDED_WAIT_SECONDS
    if type(sender.app.backend).__name__ == "EmbeddedBackend":
        sender.app.backend.cleanup()


@signals.worker_process_shutdown.connect
def end_launchers(**_: Any) -> None:
    """End the launchers of a pool process while it can still clean up behind them: it goes by os._exit."""
    state_of(get_current_app()).close()
    tell("closing")


@signals.beat_init.connect
def note_beat(sender: Any, **_: Any) -> None:
    """Note that this process is beat."""
    state_of(sender.app).is_beat = True


@signals.worker_shutdown.connect
def tell_of_end(**_: Any) -> None:
    """Tell those who hear of executions that run in the main process, in the pools `threads` and `solo`."""
    tell("closing")


def _pool_name(pool: Any) -> str:
    """Give the short name of a pool, which Celery has as text or as a class."""
    module = pool if isinstance(pool, str) else pool.__module__
    return module.partition(":")[0].rpartition(".")[2]
