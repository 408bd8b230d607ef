"""What an execution that is watched gets in place of its secrets: canaries, which the scanner makes for it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from celery import Task

from attune_tasks._celery.leaks.scanner_socket import ask_scanner
from attune_tasks._celery.per_app import state_of
from attune_tasks.errors import SecretsUnavailableError
from attune_tasks.executor import ActionExecutor
from attune_tasks.result import Receipt
from attune_tasks.secrets import FetchedSecrets, Observer, ReadRecord, SecretManager
from attune_tasks.secrets.records import now

__all__ = ["CanarySecrets", "watched_executor"]

_PROVIDER = "canary"


def watched_executor(task: Task[Any, Any], execution_id: int) -> ActionExecutor:
    """Give the executor of this process with canaries for this execution. Raises SecretsUnavailableError."""
    state = state_of(task.app)
    if not state.leak_check_address or state.worker_pid is None:
        msg = "it came by a queue of leak-check, which this worker's setting leak_check.enabled does not allow"
        raise SecretsUnavailableError(msg)
    executor = state.executor
    secrets = CanarySecrets(executor.secret_manager, state.leak_check_address, state.worker_pid, execution_id)
    return executor.with_secrets(secrets)


class _Declared(NamedTuple):
    """Some of an action's secrets, as the secret manager takes them."""

    ref: str
    secrets: Mapping[str, Any]


class CanarySecrets(SecretManager):
    """Asks the scanner, which knows what an execution is to get; what it does not give is fetched as ever.

    Fails closed: without the scanner's word nothing is fetched.
    """

    def __init__(self, real: SecretManager, address: str, main_pid: int, execution_id: int) -> None:
        """Ask at `address`; `real` fetches where the check is one with real secrets, or with a reference of its own."""
        super().__init__({}, default_provider=_PROVIDER)
        self._real = real
        self._address = address
        self._main_pid = main_pid
        self._execution_id = execution_id

    def fetch_secrets_for_action(
        self, action: Any, extra: Mapping[str, str] | None = None, observe: Observer | None = None
    ) -> FetchedSecrets:
        """Give canaries, where :meth:`SecretManager.fetch_secrets_for_action` gives secrets.

        Raises AttuneTasksError where there is no scanner.
        """
        references = {name: declared.ref for name, declared in action.secrets.items()} | dict(extra or {})
        answer = self._ask("secrets", action=action.ref, names=sorted(references), pid=os.getpid())
        if "refused" in answer:
            raise SecretsUnavailableError(str(answer["refused"]))
        values: dict[str, str] = dict(answer["values"])
        records = tuple(ReadRecord(name, references[name], _PROVIDER, "read", now()) for name in values)
        if observe is not None and records:
            observe(records)
        receipts = tuple(Receipt(each.name, each.reference, each.version) for each in records)
        real = {name: ref for name, ref in references.items() if name not in values} | dict(answer["refs"])
        if not real:
            return FetchedSecrets(values, (), receipts)
        own = {name: each for name, each in action.secrets.items() if name in real and name not in answer["refs"]}
        others = {name: ref for name, ref in real.items() if name not in own}
        fetched = self._real.fetch_secrets_for_action(_Declared(action.ref, own), others, observe)
        self._ask("values", values=dict(fetched))
        return FetchedSecrets({**values, **fetched}, fetched.missing, (*receipts, *fetched.receipts))

    def _ask(self, op: str, **more: Any) -> dict[str, Any]:
        return ask_scanner(self._address, self._main_pid, {"op": op, "execution_id": str(self._execution_id), **more})
