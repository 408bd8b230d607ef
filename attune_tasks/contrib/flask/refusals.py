"""Every error of the endpoints, as JSON: ``{"error": {"type": …, "message": …, "problems": […]}}``, as in Django."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final, NoReturn

from flask import Response, jsonify, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from attune_tasks.errors import AttuneTasksError, place_of

__all__ = ["Refusal", "answer_error", "refuse"]

logger: Final = logging.getLogger("attune_tasks.flask")

_STATUSES: Final = {
    "unknown_action": HTTPStatus.NOT_FOUND,
    "invalid_parameters": HTTPStatus.BAD_REQUEST,
    "execution_exists": HTTPStatus.CONFLICT,
    "result_timeout": HTTPStatus.SERVICE_UNAVAILABLE,
}
"""By the code of an AttuneTasksError; the rest are the server's own."""


class Refusal(Exception):  # noqa: N818 - what is refused is no fault of ours
    """An answer that is not what was asked for."""

    def __init__(self, status: HTTPStatus, kind: str, message: str, problems: Iterable[str] = ()) -> None:
        """Say why."""
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.problems = list(problems)


def refuse(status: HTTPStatus, kind: str, message: str, problems: Iterable[str] = ()) -> NoReturn:
    """Answer with an error."""
    raise Refusal(status, kind, message, problems)


def answer_error(error: Exception) -> tuple[Response, int]:
    """Make the answer. What is not ours to tell is told by its class, and in the log alone."""
    if isinstance(error, Refusal):
        return _answer(error.status, error.kind, str(error), error.problems)
    if isinstance(error, AttuneTasksError) and error.code in _STATUSES:
        return _answer(_STATUSES[error.code], error.code, str(error).partition("\n")[0], error.problems)
    if isinstance(error, RequestEntityTooLarge):
        return _answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", "the request's body is too large")
    if isinstance(error, HTTPException) and error.code is not None:
        return _answer(error.code, error.name.lower().replace(" ", "_"), error.name)
    from attune_tasks._celery.claims.outage import is_outage

    # No text of an error goes out or into the log: a client's may quote the broker's URL.
    logger.error("a request failed: %s at %s", type(error).__name__, place_of(error))
    if is_outage(error) or _is_of_broker(error):
        kind = "broker_unavailable" if request.method == "POST" else "unavailable"
        return _answer(HTTPStatus.SERVICE_UNAVAILABLE, kind, "broker or result backend can't be reached")
    return _answer(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", "the server's log has more")


def _is_of_broker(error: Exception) -> bool:
    return any(
        each.__name__ == "OperationalError" and each.__module__ == "kombu.exceptions" for each in type(error).mro()
    )


def _answer(status: int, kind: str, message: str, problems: Iterable[str] = ()) -> tuple[Response, int]:
    return jsonify({"error": {"type": kind, "message": message, "problems": list(problems)}}), int(status)
