"""Exit codes, and which end of an execution or which error gives which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attune_tasks import errors

if TYPE_CHECKING:
    from attune_tasks.result import ExecutionResult

__all__ = ["CANCELLED", "ERROR", "SUCCEEDED", "USAGE", "code_of_error", "code_of_result"]

SUCCEEDED: Final = 0
USAGE: Final = 2
ERROR: Final = 4
CANCELLED: Final = 130
"""128 and SIGINT's number, as shells have it."""

_FAILED: Final = 1
_SECRETS: Final = 3
_TIMED_OUT: Final = 124
"""As timeout(1) has it."""

_BY_STATUS: Final = {"succeeded": SUCCEEDED, "failed": _FAILED, "timed_out": _TIMED_OUT, "cancelled": CANCELLED}
_BY_ERROR: Final = {
    errors.UnknownActionError.code: USAGE,
    errors.ActionDisabledError.code: USAGE,
    errors.InvalidParametersError.code: USAGE,
    errors.ParametersTooLargeError.code: USAGE,
    errors.EnvironmentNotAllowedError.code: USAGE,
    errors.ExecutionExistsError.code: USAGE,
    errors.SecretsUnavailableError.code: _SECRETS,
    errors.InvalidReferenceError.code: _SECRETS,
    errors.InvalidSecretError.code: _SECRETS,
    errors.SecretNotMaskableError.code: _SECRETS,
    errors.ResultTimeoutError.code: _TIMED_OUT,
}


def code_of_error(code: str) -> int:
    """Give the exit code for an error's `code`."""
    return _BY_ERROR.get(code, ERROR)


def code_of_result(result: ExecutionResult) -> int:
    """Give the exit code for how an execution ended."""
    if result.status == "error":
        return code_of_error((result.error or {}).get("type", ""))
    return _BY_STATUS[result.status]
