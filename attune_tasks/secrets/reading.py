"""Reading references: one read per place, under one deadline that holds against a provider which hangs."""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from attune_tasks.errors import AttuneTasksError, InvalidSecretError, SecretsUnavailableError
from attune_tasks.nearest import nearest
from attune_tasks.quiet_threads import start_quiet_thread
from attune_tasks.secret_values import HiddenMapping, Sealed, Secrets
from attune_tasks.secrets.pool import ProviderPool
from attune_tasks.secrets.records import Outcome, ReadRecord, SecretFields, now
from attune_tasks.secrets.references import Location, SecretReference
from attune_tasks.wire import check_secret_name, check_secret_value

__all__ = ["AllRead", "read_all"]


class AllRead(NamedTuple):
    """What came of several references."""

    values: Secrets
    """Those that could be had, by name."""
    failures: dict[str, str]
    """For every other name, why not."""
    records: tuple[ReadRecord, ...]
    """One for each name."""


class _Answer(NamedTuple):
    """What one read gave: fields, or why there are none."""

    fields: SecretFields
    time: datetime
    failure: str = ""


def read_all(references: Mapping[str, SecretReference], providers: ProviderPool, timeout: float) -> AllRead:
    """Read `references`, by name.

    `timeout` is in seconds, for all of them together. Nothing but an interrupt is raised.
    """
    places: dict[Location, SecretReference] = {}
    for reference in references.values():
        places.setdefault(reference.location, reference)
    answers = _read_places(places, providers, timeout)
    values: dict[str, Sealed[str]] = {}
    failures: dict[str, str] = {}
    records = []
    for name, reference in references.items():
        answer = answers.get(reference.location)
        outcome: Outcome = "read"
        if answer is None:
            outcome = "not_in_time"
            failures[name] = (
                f"not read within {timeout:g} s; the provider {reference.provider!r} did not answer in time"
            )
        elif answer.failure:
            outcome, failures[name] = "failed", answer.failure
        else:
            try:
                values[name] = Sealed(_value(name, reference, answer.fields))
            except SecretsUnavailableError as error:
                outcome, failures[name] = "no_such_field", str(error)
            except InvalidSecretError as error:
                outcome, failures[name] = "unusable", str(error)
        records.append(_record(name, reference, outcome, answer))
    return AllRead(Secrets({name: value.open() for name, value in values.items()}), failures, tuple(records))


def _record(name: str, reference: SecretReference, outcome: Outcome, answer: _Answer | None) -> ReadRecord:
    if answer is None:
        return ReadRecord(name, str(reference), reference.provider, outcome, now())
    fields = answer.fields
    return ReadRecord(
        name,
        str(reference),
        reference.provider,
        outcome,
        answer.time,
        version=fields.version,
        request_id=fields.request_id,
        cached=fields.cached,
    )


def _read_places(
    places: Mapping[Location, SecretReference], providers: ProviderPool, timeout: float
) -> dict[Location, _Answer]:
    """Give what was read when the time was over. A provider not trusted to end in time is read in a thread."""
    deadline = time.monotonic() + timeout
    reads: dict[Location, _Answer] = {}
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
    reads: dict[Location, _Answer],
) -> None:
    """Add to `reads` what is read of `places` until the deadline."""
    wanted = len(reads) + len(places)
    answers: queue.SimpleQueue[tuple[Location, _Answer]] = queue.SimpleQueue()

    def work() -> None:
        for location, reference in places.items():
            if time.monotonic() >= deadline:  # nobody waits any more
                return
            answers.put((location, _read(reference, providers, deadline)))

    # A daemon: a provider which hangs for good can't be stopped, but must not keep the process from ending.
    start_quiet_thread(work, "attune-tasks-secrets")
    while len(reads) < wanted:
        try:
            location, answer = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        reads[location] = answer


def _read(reference: SecretReference, providers: ProviderPool, deadline: float) -> _Answer:
    failure = ""
    request_id = None
    try:
        fields: object = providers.get(reference.provider).read(reference, deadline=deadline)
        if isinstance(fields, SecretFields):
            return _Answer(fields, now())
        if isinstance(fields, Mapping | HiddenMapping):
            return _Answer(SecretFields(fields), now())
        failure = f"the provider {reference.provider!r} gave {type(fields).__name__}, not fields by name"
    except SecretsUnavailableError as error:
        failure, request_id = str(error), error.request_id
    except AttuneTasksError as error:
        failure = str(error)
    except BaseException as error:  # noqa: BLE001 - its text may quote a secret, and a thread's excepthook would print it
        failure = f"the provider {reference.provider!r} failed: {type(error).__name__}"
    return _Answer(SecretFields({}, request_id=request_id), now(), failure)


def _value(name: str, reference: SecretReference, fields: SecretFields) -> str:
    """Take one field as text that the wire can carry."""
    value = _field(fields, reference.field)
    if value is None:
        known = sorted(str(field) for field, given in fields.items() if given is not None)
        near = nearest(reference.field, known)
        # Not all names: a secret that was stored the wrong way round is one of them.
        hint = f"; did you mean {near!r}?" if near else f" among {len(known)}"
        msg = f"no field {reference.field!r} there{hint}"
        raise SecretsUnavailableError(msg)
    text = value if isinstance(value, str) else _json_text(value)
    check_secret_name(name)
    check_secret_value(name, text)
    return text


def _field(values: SecretFields, name: str) -> object:
    """Take a field by its exact name, else by its way through nested ones (``database.password``); "" takes all."""
    if not name:
        return dict(values)
    value: object = values.get(name)
    if value is not None:
        return value
    value = dict(values)
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
