"""The caller's side of run_action: ids, queues and checks are added here, however the task is called."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

from celery import Task
from celery.utils.functional import maybe_list

from attune_tasks._celery import capturing
from attune_tasks._celery.callers import CALLER_HEADER, default_caller
from attune_tasks._celery.calls import Call, read_call
from attune_tasks._celery.claims.storing import StoringBackend
from attune_tasks._celery.known_ids import KEY_SECONDS, first_of_key
from attune_tasks._celery.noting import NotingProducer
from attune_tasks._celery.observing import tell
from attune_tasks._celery.per_app import AppState, state_of
from attune_tasks._celery.publishing import sending_by, signature_for
from attune_tasks._celery.signing import SIGNATURE_HEADER
from attune_tasks.ids import execution_id_of, new_execution_id, task_id_of

__all__ = ["ActionTask"]

_DESTINATIONS: Final = frozenset({"queue", "exchange", "routing_key"})


class ActionTask(Task[Any, Any]):
    """The base of run_action. What it adds holds for ``delay``, ``apply_async``, canvas and beat alike."""

    abstract = True
    Request = "attune_tasks._celery.request:ActionRequest"

    @property
    def backend(self) -> Any:
        """The result backend, as Celery's own tracer and requests are to see it."""
        return StoringBackend(self.app, super().backend)

    @backend.setter
    def backend(self, value: Any) -> None:
        self._backend = value

    def apply_async(  # noqa: PLR0913, PLR0917 - Celery's own
        self,
        args: Any = None,
        kwargs: Any = None,
        task_id: str | None = None,
        producer: Any = None,
        link: Any = None,
        link_error: Any = None,
        shadow: str | None = None,
        **options: Any,
    ) -> Any:
        """Send one call, as Celery's ``apply_async`` does.

        Among `options`, `idempotency_key` and `idempotency_seconds` are as for ``enqueue``: an entry of a schedule has
        them there. Raises UnknownActionError and InvalidParametersError where the packs are known here, and TypeError
        for arguments that run_action does not have.
        """
        call = read_call(args, kwargs)
        call.check()
        state = state_of(self.app)
        state.message_keys  # noqa: B018 - read here, where an error reaches the caller: Celery's signals swallow them
        call.check_against(state.registry, state.loaded.settings)
        task_id = task_id or task_id_of(new_execution_id())
        key, seconds = options.pop("idempotency_key", None), options.pop("idempotency_seconds", KEY_SECONDS)
        if key is not None:
            with first_of_key(self.app, call.ref, key, task_id, seconds) as first:
                if first is not None:
                    return self.AsyncResult(first)
                return self.apply_async(args, kwargs, task_id, producer, link, link_error, shadow, **options)
        if not options.keys() & _DESTINATIONS and (queue := _queue(call, state)):
            options["queue"] = queue
        options["headers"] = {CALLER_HEADER: default_caller(), **(options.get("headers") or {})}
        enqueued = _enqueued(call, task_id, options)
        captured = capturing.capture(enqueued)
        if captured is not None:
            return captured
        is_first = not options.get("retries")
        options |= call.shown()
        shadow = shadow or call.ref
        with sending_by(self.app):
            if self.app.conf.task_always_eager:
                sent = super().apply_async(args, kwargs, task_id, producer, link, link_error, shadow, **options)
            else:
                with self.app.producer_or_acquire(producer) as acquired:
                    noting: Any = NotingProducer(acquired, self.app, task_id, call.ref, shadow)
                    sent = super().apply_async(args, kwargs, task_id, noting, link, link_error, shadow, **options)
        if is_first:
            tell("enqueued", self.app, enqueued)
        return sent

    def apply(  # noqa: PLR0913, PLR0917 - Celery's own
        self,
        args: Any = None,
        kwargs: Any = None,
        link: Any = None,
        link_error: Any = None,
        task_id: str | None = None,
        retries: int | None = None,
        throw: bool | None = None,  # noqa: FBT001
        logfile: str | None = None,
        loglevel: str | None = None,
        headers: Any = None,
        **options: Any,
    ) -> Any:
        """Run one call here and now, as Celery's ``apply`` and ``task_always_eager`` do; its message is signed, too."""
        task_id = task_id or task_id_of(new_execution_id())
        headers = {CALLER_HEADER: default_caller(), **(headers or {})}
        afterwards = {"callbacks": maybe_list(link), "errbacks": maybe_list(link_error)}
        body = (args or (), kwargs or {}, afterwards)
        signature = signature_for(self.app, {**headers, "task": self.name, "id": task_id}, body)
        headers |= {SIGNATURE_HEADER: signature} if signature else {}
        return super().apply(
            args, kwargs, link, link_error, task_id, retries, throw, logfile, loglevel, headers, **options
        )


def _queue(call: Call, state: AppState) -> str | None:
    for pattern, queue in state.loaded.settings.routes.items():
        if fnmatchcase(call.ref, pattern):
            return queue
    return state.registry.get(call.ref).queue if call.ref in state.registry else None


def _enqueued(call: Call, task_id: str, options: Mapping[str, Any]) -> capturing.Enqueued:
    return capturing.Enqueued(
        action_ref=call.ref,
        parameters=call.parameters or {},
        env=call.env or {},
        timeout=call.timeout,
        queue=str(options["queue"]) if options.get("queue") else None,
        task_id=task_id,
        execution_id=execution_id_of(task_id),
        caller=options["headers"][CALLER_HEADER],
        **{name: options.get(name) for name in ("countdown", "eta", "expires", "priority")},
    )
