"""enqueue() in Django: the message goes out when the transaction is through, and never when it is rolled back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction
from django.utils.asyncio import async_unsafe

import attune_tasks
from attune_tasks._celery import capturing
from attune_tasks._celery.calls import Call
from attune_tasks._celery.cancelling import CancelAnswer
from attune_tasks._celery.enqueueing import NewId, app_or_default
from attune_tasks._celery.handle import Handle
from attune_tasks._celery.per_app import state_of
from attune_tasks.contrib.django.options import django_options
from attune_tasks.contrib.django.recordable import clean_text
from attune_tasks.errors import ResultTimeoutError
from attune_tasks.ids import execution_id_of, new_execution_id, task_id_of
from attune_tasks.result import ExecutionResult

if TYPE_CHECKING:
    from attune_tasks._celery.live_events import Event

__all__ = ["SENDER", "CommittedHandle", "enqueue"]

SENDER: Final[ContextVar[Any]] = ContextVar("attune_tasks_sender", default=None)
"""The user on whose behalf this thread sends just now."""

_OPTIONS: Final = frozenset(
    {"env", "timeout", "queue", "countdown", "eta", "expires", "priority", "idempotency_key", "idempotency_seconds"}
)


class CommittedHandle(Handle):
    """A handle whose ids are known at once, and whose message goes out when the transaction is through."""

    __slots__ = ("is_sent", "is_withdrawn")

    def __init__(self, async_result: Any, action_ref: str | None = None) -> None:
        """Nothing is sent yet."""
        super().__init__(async_result, action_ref)
        self.is_sent = False
        """Whether the message is on its way. It stays False where the transaction is rolled back."""
        self.is_withdrawn = False
        """Whether it was cancelled before."""

    def status(self) -> str:
        """Say how it stands; ``pending`` before the transaction is through."""
        return super().status() if self.is_sent else "pending"

    def result(self, timeout: float | None = None) -> ExecutionResult:
        """Wait for the end. Raises ResultTimeoutError at once where nothing has been sent: it can't come."""
        if not self.is_sent:
            msg = f"{self.action_ref} is sent when the transaction is through: it has no result within it"
            raise ResultTimeoutError(msg)
        return super().result(timeout)

    def follow(self, *, wait: bool = True) -> Iterator[Event]:
        """Give what the action says; nothing before the transaction is through."""
        return super().follow(wait=wait) if self.is_sent else iter(())

    def cancel(self, timeout: float | None = None) -> CancelAnswer:
        """Have it ended; before the transaction is through, have it not sent at all."""
        if not self.is_sent:
            self.is_withdrawn = True
            return CancelAnswer("cancelled")
        return super().cancel() if timeout is None else super().cancel(timeout)

    def take_over(self, sent: Handle) -> None:
        """Be the handle of what was sent; by an idempotency key that may be another execution."""
        self._async_result = sent._async_result  # noqa: SLF001 - of its own class
        self.task_id = self._async_result.id
        self.execution_id = execution_id_of(self.task_id)
        self.is_sent = True


def enqueue(  # noqa: PLR0913 - what attune_tasks.enqueue has, and what Django adds
    ref: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    user: Any = None,
    on_commit: bool = True,
    using: str | None = None,
    execution_id: int | None = None,
    caller: str | None = None,
    app: Any = None,
    **options: Any,
) -> CommittedHandle:
    """Have a worker run the action `ref` once the transaction of the database `using` is through; give a handle.

    Outside of a transaction, and with ``on_commit=False``, it is sent at once. `user` stands in the record, and is the
    caller where none is named. `options` are those of :func:`attune_tasks.enqueue`. The handle's ids are known at once;
    with an `idempotency_key` they may be those of an earlier execution once it was sent.

    Raises at once what :func:`attune_tasks.enqueue` raises for action and parameters where the packs are known here;
    what the broker raises comes from where the transaction ends. In a coroutine it raises SynchronousOnlyOperation, as
    Django's models do: ``await sync_to_async(enqueue)(…)``.
    """
    _refuse_in_coroutine()
    # All of this at once: where the transaction ends nobody expects it.
    if unknown := sorted(options.keys() - _OPTIONS):
        msg = f"enqueue() has no argument {', '.join(unknown)}"
        raise TypeError(msg)
    key = options.get("idempotency_key")
    if key is not None and (not isinstance(key, str) or not key):
        msg = "an idempotency_key is text that is not empty"
        raise ValueError(msg)
    app = app_or_default(app)
    plain: Any = dict(parameters) if isinstance(parameters, Mapping) else parameters
    call = Call(ref, {} if plain is None else plain, options.get("env"), options.get("timeout"))
    call.check()
    state = state_of(app)
    call.check_against(state.registry, state.loaded.settings)
    user = user if getattr(user, "is_authenticated", False) else None
    if caller is None and user is not None:
        caller = clean_text(user.get_username())[:200]
    number = NewId(new_execution_id()) if execution_id is None else execution_id
    handle = CommittedHandle(app.AsyncResult(task_id_of(number)), ref)

    def send() -> None:
        if handle.is_withdrawn:
            return
        token = SENDER.set(user)
        try:
            sent = attune_tasks.enqueue(ref, plain, execution_id=number, caller=caller, app=app, **options)
        finally:
            SENDER.reset(token)
        handle.take_over(sent)
        if capturing.catches(ref):
            _record_captured(app, handle, call, caller or "", user)

    if on_commit and _is_in_transaction(using):
        transaction.on_commit(send, using=using)
    else:
        send()
    return handle


@async_unsafe
def _refuse_in_coroutine() -> None:
    """Raise SynchronousOnlyOperation there: the record could not be written, and whose it is would be lost."""


def _is_in_transaction(using: str | None) -> bool:
    """Say whether there is a commit to wait for. It opens no connection: a database that is away has no transaction."""
    connection = transaction.get_connection(using)
    return connection.in_atomic_block or (connection.connection is not None and not connection.get_autocommit())


def _record_captured(app: Any, handle: CommittedHandle, call: Call, caller: str, user: Any) -> None:
    """Record what a test has caught, so that views and pages can be tested without a worker."""
    from attune_tasks.contrib.django.recording import record_ended, record_enqueued

    if not django_options().record:
        return
    ids = (handle.task_id, handle.execution_id)
    sent = capturing.Enqueued(call.ref, call.parameters or {}, call.env or {}, call.timeout, None, *ids, caller)
    record_enqueued(app, sent, user)
    if handle.status() not in {"pending", "running"}:
        record_ended(handle.result(0).to_dict(), handle.task_id)
