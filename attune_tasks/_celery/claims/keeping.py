"""Keeps the claims of one process from expiring, and notes what is delivered, in a thread of its own."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from celery import Celery

from attune_tasks._celery.claims.claim import Claim
from attune_tasks._celery.claims.store import ClaimStore, claim_store
from attune_tasks._celery.executions_here import EXECUTIONS
from attune_tasks._celery.live_writer import live_writer
from attune_tasks._celery.per_app import state_of
from attune_tasks.quiet_threads import start_quiet_thread

__all__ = ["KEEPER", "Keeper", "keeping"]

logger: Final = logging.getLogger("attune_tasks.claims")

RENEWALS_PER_EXPIRY: Final = 6
_LEASED_PART: Final = 0.95
"""Of a claim's time: then a launcher kills by itself what is not to outlive the claim."""
_IDLE_SECONDS: Final = 6.0
_DELIVERY_SECONDS: Final = 1.0
"""How long what is delivered may stay unsaid: meanwhile a reaper would only find it so."""


@dataclass(slots=True)
class _Kept:
    claim: Claim
    lose: Callable[[], None] | None
    """What ends the action before another worker begins it; None: it is to run on."""
    since: float = field(default_factory=time.monotonic)
    """When it was surely renewed last."""


class ClaimLease:
    """Ends with the claim, a little before: see :class:`attune_tasks.process.Lease`."""

    def __init__(self, kept: _Kept) -> None:
        """Take what is kept."""
        self._kept = kept
        expiry = _expiry(kept.claim.app)
        self._seconds = expiry * _LEASED_PART
        self.interval = expiry / RENEWALS_PER_EXPIRY

    def until(self) -> float:
        """Give the time, by time.monotonic(), at which the action is to be gone."""
        return self._kept.since + self._seconds


class Keeper:
    """The claims of this process. For any thread; a forked process begins with none."""

    def __init__(self) -> None:
        """Keep none."""
        self._wake = threading.Condition()
        self._kept: dict[str, _Kept] = {}
        self._delivered: dict[int, Celery] = {}
        self._deliver_at = 0.0
        self._thread: threading.Thread | None = None
        self._watch: threading.Thread | None = None

    def keep(self, claim: Claim, lose: Callable[[], None] | None = None) -> None:
        """Renew `claim`; `lose` is called in time before it expires where it can't be renewed, or is another's."""
        with self._wake:
            self._kept[claim.token] = _Kept(claim, lose)
            self._start()
            if lose is not None and (self._watch is None or not self._watch.is_alive()):
                self._watch = start_quiet_thread(self._watch_over, "attune-claims-watch")

    def lease(self, execution_id: int) -> ClaimLease | None:
        """Give for how long an execution may run without news from here; None: on, whatever becomes of its claim."""
        with self._wake:
            for kept in self._kept.values():
                if kept.claim.execution_id == execution_id and kept.lose is not None:
                    return ClaimLease(kept)
        return None

    def drop(self, token: str) -> None:
        """Renew a claim no more."""
        with self._wake:
            self._kept.pop(token, None)

    def deliver(self, app: Celery, execution_id: int) -> None:
        """Note that an execution's result is stored and what follows is sent; Redis is told within a second."""
        with self._wake:
            if not self._delivered:
                self._deliver_at = time.monotonic() + _DELIVERY_SECONDS
                self._wake.notify_all()
            self._delivered[execution_id] = app
            self._start()

    def flush(self) -> None:
        """Tell now what is delivered. Raises what the client raises."""
        with self._wake:
            delivered, self._delivered = self._delivered, {}
        by_app: dict[int, tuple[Celery, list[int]]] = {}
        for execution_id, app in delivered.items():
            by_app.setdefault(id(app), (app, []))[1].append(execution_id)
        try:
            for app, execution_ids in by_app.values():
                if (store := claim_store(app)) is not None:
                    store.delivered(execution_ids)
        except BaseException:
            with self._wake:
                self._delivered = {**delivered, **self._delivered}
            raise

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = start_quiet_thread(self._run, "attune-claims")

    def _run(self) -> None:
        renewed = time.monotonic()
        while True:
            with self._wake:
                due = self._deliver_at - time.monotonic() if self._delivered else self._pause()
                self._wake.wait(max(0.0, min(due, self._pause())))
                if not (self._kept or self._delivered):
                    self._thread = None  # started again when it is needed
                    return
            try:
                if self._delivered and time.monotonic() >= self._deliver_at:
                    self._deliver_at = time.monotonic() + _DELIVERY_SECONDS  # where it fails
                    self.flush()
                if time.monotonic() - renewed >= self._pause():
                    renewed = time.monotonic()
                    self._renew()
            except Exception as error:  # noqa: BLE001 - the client's own, whose text may quote the URL
                logger.warning("claims can't be renewed: %s", type(error).__name__)

    def _renew(self) -> None:
        with self._wake:
            kept = list(self._kept.values())
        for app in {id(each.claim.app): each.claim.app for each in kept}.values():
            mine = [each for each in kept if each.claim.app is app]
            asked = time.monotonic()
            store = _impatient_store(app)
            lost = store.renew({each.claim.execution_id: each.claim.token for each in mine}) if store else set()
            for each in mine:
                if each.claim.execution_id not in lost:
                    each.since = asked
                elif each.lose is not None:
                    each.lose()
                else:
                    self.drop(each.claim.token)  # it is over, or another's: nothing to renew

    def _watch_over(self) -> None:
        """See by the clock that what may not outlive its claim does not: the other thread may wait for the server."""
        while True:
            with self._wake:
                watched = [each for each in self._kept.values() if each.lose is not None]
                if not watched:
                    self._watch = None
                    return
                pause = self._pause()
            for each in watched:
                settings = state_of(each.claim.app).loaded.settings
                # Early enough for SIGTERM, the grace, and the look that comes next; but two renewals may fail.
                left = max(2.5 * pause, settings.claims.expiry - settings.grace - 2 * pause)
                if each.lose is not None and time.monotonic() - each.since > left:
                    each.lose()
            time.sleep(pause)

    def _pause(self) -> float:
        with self._wake:
            expiries = [_expiry(kept.claim.app) for kept in self._kept.values()]
        return min(expiries, default=_IDLE_SECONDS) / RENEWALS_PER_EXPIRY


@contextmanager
def keeping(claim: Claim) -> Iterator[None]:
    """Keep the claim on an execution that runs here. An idempotent action is ended before another worker begins it."""

    def lose() -> None:
        EXECUTIONS.cancel(claim.execution_id, "claim_lost")

    KEEPER.keep(claim, None if claim.is_last else lose)
    try:
        yield
    finally:
        KEEPER.drop(claim.token)


def _impatient_store(app: Celery) -> ClaimStore | None:
    """Give the claims by a client that gives up soon: one call that waits must not cost the time for the next."""
    store = claim_store(app)
    if store is not None:
        store.state = store.state.by(live_writer(app).client(store.state.client))
    return store


def _expiry(app: Celery) -> float:
    return state_of(app).loaded.settings.claims.expiry


KEEPER: Final = Keeper()
"""That of this process."""


def _begin_anew() -> None:
    KEEPER.__init__()  # type: ignore[misc]  # what the other process keeps is its own; the lock may be held there


os.register_at_fork(after_in_child=_begin_anew)
