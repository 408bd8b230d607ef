"""What a worker does for claims beside its executions: reaps, and tells what is delivered."""

from __future__ import annotations

import logging
import sys
import threading
from typing import Any, Final

from celery import Celery, bootsteps, signals, states

from attune_tasks._celery.claims.claim import CLAIM_HEADER
from attune_tasks._celery.claims.keeping import KEEPER
from attune_tasks._celery.claims.reaping import reap
from attune_tasks._celery.claims.request import ClaimedRequest
from attune_tasks._celery.claims.resending import resend_lost
from attune_tasks._celery.claims.store import REAPED_AT_ONCE
from attune_tasks._celery.claims.waiting import WAITING, GiveBack
from attune_tasks._celery.per_app import state_of
from attune_tasks._celery.shared_state import shared_state
from attune_tasks.ids import execution_id_of
from attune_tasks.quiet_threads import start_quiet_thread

__all__ = ["Reaper", "ready"]

logger: Final = logging.getLogger("attune_tasks.claims")

_LOOKS_PER_EXPIRY: Final = 6


class Reaper(bootsteps.StartStopStep):
    """Looks after expired claims, in a thread of the worker's main process; of all workers one at a time."""

    # A thread that runs while the pool forks may hold a lock there, which nobody releases in the new process.
    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **options: Any) -> None:
        """Do nothing yet."""
        super().__init__(parent, **options)
        self._over = threading.Event()

    def start(self, parent: Any) -> None:
        """Begin to look."""
        app: Celery = parent.app
        if shared_state(app) is not None:
            self._over.clear()
            start_quiet_thread(lambda: self._run(app, parent.hostname), "attune-reaper")

    def stop(self, parent: Any) -> None:  # noqa: ARG002 - Celery's own
        """End the thread soon."""
        self._over.set()

    terminate = stop

    def _run(self, app: Celery, name: str) -> None:
        pause = state_of(app).loaded.settings.claims.expiry / _LOOKS_PER_EXPIRY
        while not self._over.wait(pause):
            try:
                state = shared_state(app)
                # Its expiry alone gives the lock back: whoever has it looks once, and the next one after that.
                if state is None or not state.client.set(state.key("reaper"), name, nx=True, px=round(pause * 900)):
                    continue
                while reap(app) >= REAPED_AT_ONCE and not self._over.is_set():
                    pass
                resend_lost(app)
            except Exception as error:  # noqa: BLE001 - the client's own, whose text may quote the URL
                logger.warning("claims can't be looked after: %s", type(error).__name__)


def ready(app: Celery) -> None:
    """Add the reaper, and who gives claims back, to a worker that is about to be made."""
    app.steps["worker"].add(Reaper)
    app.steps["consumer"].add(GiveBack)


@signals.task_received.connect
def remember_consumer(sender: Any, request: Any, **_: Any) -> None:
    """Tell a request who has received it: it may have to wait for its claim, by the consumer's timer."""
    if isinstance(request, ClaimedRequest):
        request.received_by(sender)


@signals.task_postrun.connect
def note_delivered(task: Any, state: Any, **_: Any) -> None:
    """Note that Celery has stored the result and sent what follows; not where it failed to."""
    if getattr(task.request, CLAIM_HEADER, None) and state in states.READY_STATES and sys.exc_info()[0] is None:
        KEEPER.deliver(task.app, execution_id_of(task.request.id))


@signals.worker_process_shutdown.connect
def flush(**_: Any) -> None:
    """Tell what is delivered before the process ends."""
    try:
        KEEPER.flush()
    except Exception as error:  # noqa: BLE001 - a reaper finds out by itself
        logger.debug("what is delivered can't be told: %s", type(error).__name__)


@signals.worker_shutdown.connect
def give_up(**_: Any) -> None:
    """Give up what was claimed and not begun: the broker gets the messages back."""
    WAITING.give_back(publish=False, from_pool=True)  # the pool is gone
    flush()
