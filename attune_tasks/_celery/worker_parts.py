"""Connects a worker to what only a worker loads: control commands, and the way to its pool processes."""

from __future__ import annotations

import gc
from typing import Any

from celery import signals
from celery._state import get_current_app  # what the proxy celery.current_app asks

from attune_tasks._celery.per_app import state_of

__all__ = ["read_notes", "ready_main_process", "ready_pool_process"]


@signals.worker_init.connect
def ready_main_process(sender: Any, **_: Any) -> None:
    """Add the control commands. Pool processes are to be told what to cancel, and what is lost is to be told."""
    from attune_tasks._celery import control
    from attune_tasks._celery.broker_loss import OutliveLoss
    from attune_tasks._celery.claims import worker as claims
    from attune_tasks._celery.health import step as health
    from attune_tasks._celery.metrics import server as metrics

    sender.app.steps["consumer"].add(OutliveLoss)
    control.ready()
    claims.ready(sender.app)
    metrics.ready(sender.app)
    health.ready(sender.app)


@signals.worker_ready.connect
def read_notes(sender: Any, **_: Any) -> None:
    """Learn what was cancelled before this worker could hear of it; it has begun no message by now."""
    from attune_tasks._celery import control

    control.read_notes(sender.app)
    _collect_what_failures_leave()


@signals.worker_process_init.connect
def ready_pool_process(**_: Any) -> None:
    """Have a pool process listen."""
    from attune_tasks._celery.pool_channels import CHANNELS

    CHANNELS.listen(state_of(get_current_app()).close)
    _collect_what_failures_leave()


def _collect_what_failures_leave() -> None:
    """Have the interpreter's collector find soon what each failure leaves: Celery keeps its traceback in a cycle.

    That is a quarter of a MiB. Beside all that an application has loaded the collector waits for 100 MiB of it.
    """
    gc.freeze()
    gc.collect()  # of what is left, next to nothing: by its number the collector decides when to look at all
