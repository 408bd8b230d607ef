"""Every error that attune_tasks raises on purpose.

The docstring of a class is its default message. ``code`` is what machines read: it becomes ``error.type`` of an
execution's result. ``problems`` lists single faults, one line each, where several were found at once. No message
and no field ever holds the value of a secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

__all__ = [
    "ActionDisabledError",
    "ActionFailed",
    "AttuneTasksError",
    "EnvironmentNotAllowedError",
    "ExecutionExistsError",
    "InvalidParametersError",
    "InvalidReferenceError",
    "InvalidSecretError",
    "MessageRefusedError",
    "PackError",
    "ParametersTooLargeError",
    "PluginError",
    "ResultTimeoutError",
    "RuntimeUnavailableError",
    "SecretExposedError",
    "SecretNotMaskableError",
    "SecretsUnavailableError",
    "SettingsError",
    "StartError",
    "UnknownActionError",
    "UnknownRuntimeError",
]


def place_of(error: BaseException) -> str:
    """Say where an error was raised, as ``file.py:12``, without its text, which may quote a secret."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return f"{Path(traceback.tb_frame.f_code.co_filename).name}:{traceback.tb_lineno}" if traceback else "?"


class AttuneTasksError(Exception):
    """Something that attune_tasks was asked to do could not be done."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str | None = None, *, problems: Iterable[str] = ()) -> None:
        """Keep `message` (default: the first line of the class's docstring) and the single faults behind it."""
        self.problems: tuple[str, ...] = tuple(problems)
        text = message or (type(self).__doc__ or type(self).__name__).strip().splitlines()[0]
        if self.problems:
            text = "\n".join([text, *(f"  - {problem}" for problem in self.problems)])
        super().__init__(text)


class SettingsError(AttuneTasksError):
    """The settings of attune_tasks are not usable."""

    code = "settings_invalid"


class PluginError(AttuneTasksError):
    """A plugin can't be used."""

    code = "plugin_invalid"


class PackError(AttuneTasksError):
    """Packs were refused when they were loaded."""

    code = "pack_invalid"


class UnknownActionError(AttuneTasksError):
    """No pack has this action."""

    code = "unknown_action"


class ActionDisabledError(AttuneTasksError):
    """The action's metadata says `enabled: false`."""

    code = "action_disabled"


class InvalidParametersError(AttuneTasksError):
    """The parameters do not fit the action's schema."""

    code = "invalid_parameters"


class ParametersTooLargeError(AttuneTasksError):
    """The parameters are larger than an environment can be."""

    code = "parameters_too_large"


class EnvironmentNotAllowedError(AttuneTasksError):
    """The caller set environment variables that the action does not allow."""

    code = "env_not_allowed"


class ExecutionExistsError(AttuneTasksError):
    """An execution of this id exists already."""

    code = "execution_exists"


class MessageRefusedError(AttuneTasksError):
    """The message is not signed as the setting message_key_file asks."""

    code = "message_refused"


class InvalidReferenceError(AttuneTasksError):
    """This is not a secret reference."""

    code = "secret_reference_invalid"


class InvalidSecretError(AttuneTasksError):
    """A secret's name or value can't be handed to an action."""

    code = "secret_invalid"


class SecretNotMaskableError(AttuneTasksError):
    """A secret's value is too short or too common to be masked."""

    code = "secret_not_maskable"


class SecretsUnavailableError(AttuneTasksError):
    """Secrets that the action needs can't be had."""

    code = "secrets_unavailable"
    request_id: str | None = None
    """By which the store's log has the read that failed; a provider sets it where it knows that."""


class SecretExposedError(AttuneTasksError):
    """A secret stands where others can read it."""

    code = "secret_exposed"


class UnknownRuntimeError(AttuneTasksError):
    """No runtime has this name."""

    code = "unknown_runtime"


class RuntimeUnavailableError(AttuneTasksError):
    """The runtime can't be used on this machine."""

    code = "runtime_unavailable"


class StartError(AttuneTasksError):
    """The action's program could not be started."""

    code = "start_failed"


class ResultTimeoutError(AttuneTasksError, TimeoutError):
    """The execution has not ended within the time that the caller gave."""

    code = "result_timeout"


class ActionFailed(Exception):  # noqa: N818 - the public name; it is an outcome, stored by Celery under this name
    """An execution that ended failed, timed_out, cancelled or error, as Celery stores it.

    ``args`` are the constructor's arguments, so that pickle and Celery's JSON backend, which rebuilds an exception
    as ``cls(*args)``, both give an equal object. `result` is ``ExecutionResult.to_dict()``, masked and cut.
    """

    def __init__(self, result: Mapping[str, Any]) -> None:
        """Keep the result's dictionary."""
        super().__init__(result)
        self.result = result

    def __str__(self) -> str:
        """Say in one line of at most 300 characters what ended how; never any output."""
        return self._line()[:300]

    def __repr__(self) -> str:
        """Give the same line; Celery puts it into events, logs and Flower."""
        return f"ActionFailed({self._line()!r:.280})"

    def _line(self) -> str:
        error = self.result.get("error") or {}
        said = " ".join(str(error.get("message", "")).split())
        line = f"{self.result.get('action_ref')} {self.result.get('status')}: {error.get('type')}: {said}"
        return line if len(line) <= 260 else f"{line[:257]}..."  # noqa: PLR2004 - leaves room for repr's own marks
