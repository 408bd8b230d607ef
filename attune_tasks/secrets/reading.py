"""Reading references: one read per place, under one deadline that holds against a provider which hangs."""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Mapping

from attune_tasks.errors import AttuneTasksError, InvalidSecretError, SecretsUnavailableError
from attune_tasks.nearest import nearest
from attune_tasks.quiet_threads import start_quiet_thread
from attune_tasks.secret_values import Secrets
from attune_tasks.secrets.pool import ProviderPool
from attune_tasks.secrets.references import Location, SecretReference
from attune_tasks.wire import check_secret_name, check_secret_value

__all__ = ["read_all"]


class _Fields:
    """What one read gave. It has no repr of its own, so that a report which shows variables shows no value."""

    __slots__ = ("failure", "values")

    def __init__(self, values: Mapping[str, object] | None = None, failure: str = "") -> None:
        self.values: Mapping[str, object] = values or {}
        self.failure = failure


def read_all(
    references: Mapping[str, SecretReference], providers: ProviderPool, timeout: float
) -> tuple[Secrets, dict[str, str]]:
    """Read `references`, by name; give the values that could be had, and for every other name why not.

    `timeout` is in seconds, for all of them together. Nothing but an interrupt is raised.
    """
    places: dict[Location, SecretReference] = {}
    for reference in references.values():
        places.setdefault(reference.location, reference)
    reads = _read_places(places, providers, timeout)
    values: dict[str, str] = {}
    failures: dict[str, str] = {}
    for name, reference in references.items():
        fields = reads.get(reference.location)
        if fields is None:
            failures[name] = (
                f"not read within {timeout:g} s; the provider {reference.provider!r} did not answer in time"
            )
            continue
        try:
            values[name] = _value(name, reference, fields)
        except (InvalidSecretError, SecretsUnavailableError) as error:
            failures[name] = str(error)
    return Secrets(values), failures


def _read_places(
    places: Mapping[Location, SecretReference], providers: ProviderPool, timeout: float
) -> dict[Location, _Fields]:
    """Give what was read when the time was over. A provider not trusted to end in time is read in a thread."""
    deadline = time.monotonic() + timeout
    reads: dict[Location, _Fields] = {}
    awaited: dict[Location, SecretReference] = {}
    for location, reference in places.items():
        if providers.keeps_deadline(reference.provider):
            reads[location] = _read(reference, providers, deadline)
        else:
            awaited[location] = reference
    if awaited:
        _read_in_thread(awaited, providers, deadline, reads)
    return reads


def _read_in_thread(
    places: Mapping[Location, SecretReference],
    providers: ProviderPool,
    deadline: float,
    reads: dict[Location, _Fields],
) -> None:
    """Add to `reads` what is read of `places` until the deadline."""
    wanted = len(reads) + len(places)
    answers: queue.SimpleQueue[tuple[Location, _Fields]] = queue.SimpleQueue()

    def work() -> None:
        for location, reference in places.items():
            if time.monotonic() >= deadline:  # nobody waits any more
                return
            answers.put((location, _read(reference, providers, deadline)))

    # A daemon: a provider which hangs for good can't be stopped, but must not keep the process from ending.
    start_quiet_thread(work, "attune-tasks-secrets")
    while len(reads) < wanted:
        try:
            location, fields = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        reads[location] = fields


def _read(reference: SecretReference, providers: ProviderPool, deadline: float) -> _Fields:
    try:
        fields: object = providers.get(reference.provider).read(reference, deadline=deadline)
        if isinstance(fields, Mapping):
            return _Fields(dict(fields))
    except AttuneTasksError as error:
        return _Fields(failure=str(error))
    except BaseException as error:  # noqa: BLE001 - its text may quote a secret, and a thread's excepthook would print it
        return _Fields(failure=f"the provider {reference.provider!r} failed: {type(error).__name__}")
    return _Fields(failure=f"the provider {reference.provider!r} gave {type(fields).__name__}, not fields by name")


def _value(name: str, reference: SecretReference, fields: _Fields) -> str:
    """Take one field as text that the wire can carry."""
    if fields.failure:
        raise SecretsUnavailableError(fields.failure)
    value = _field(fields.values, reference.field)
    if value is None:
        known = sorted(str(field) for field, given in fields.values.items() if given is not None)
        near = nearest(reference.field, known)
        # Not all names: a secret that was stored the wrong way round is one of them.
        hint = f"; did you mean {near!r}?" if near else f" among {len(known)}"
        msg = f"no field {reference.field!r} there{hint}"
        raise SecretsUnavailableError(msg)
    text = value if isinstance(value, str) else _json_text(value)
    check_secret_name(name)
    check_secret_value(name, text)
    return text


def _field(values: Mapping[str, object], name: str) -> object:
    """Take a field by its exact name, else by its way through nested ones (``database.password``); "" takes all."""
    if not name:
        return values
    value: object = values.get(name)
    if value is not None:
        return value
    value = values
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _json_text(value: object) -> str:
    kind = ""
    try:
        return json.dumps(dict(value) if isinstance(value, Mapping) else value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        kind = type(value).__name__
    msg = f"its value ({kind}) holds what JSON can't: store it as text"
    raise SecretsUnavailableError(msg)
