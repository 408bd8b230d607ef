"""The blueprint: enqueue an action, see how an execution stands, read its output. JSON in, JSON out.

All of it is for users whom the application's login function knows. No browser can be made to enqueue by another site:
only ``application/json`` is read, which a form can't send, and what a browser says comes from another site is refused.
"""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final

from flask import Blueprint, Response, current_app, g, jsonify, request, url_for
from werkzeug.exceptions import BadRequest

from attune_tasks.contrib.flask.bound import NAME, Bound, What, bound_to
from attune_tasks.contrib.flask.refusals import Refusal, answer_error, refuse
from attune_tasks.ids import ids_of

__all__ = ["make_blueprint"]

logger: Final = logging.getLogger("attune_tasks.flask")

_MAX_BODY: Final = 1 << 20
_LONGEST_ID: Final = 200
_FIELDS: Final = frozenset({"action", "parameters", "timeout", "idempotency_key"})
_NOT_ENDED: Final = frozenset({"pending", "running"})
_UNTIL_THE_END: Final = (
    "action",
    "attempt",
    "started_at",
    "finished_at",
    "duration_ms",
    "exit_code",
    "result",
    "error",
)
"""Of the status: what is null before the end. There is no record here, as there is in Django."""
_OWN_SITE: Final = frozenset({"same-origin", "none"})
_ALL_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")


def make_blueprint() -> Blueprint:
    """Make it for one application."""
    made = Blueprint(NAME, __name__)
    made.before_request(_let_in)
    made.after_request(_keep_private)
    made.register_error_handler(Exception, answer_error)
    made.add_url_rule("/executions", "enqueue", _enqueue, methods=["POST"])
    made.add_url_rule("/executions/<execution>", "status", _status, methods=["GET"])
    made.add_url_rule("/executions/<execution>/output", "output", _output, methods=["GET"])
    for rule in ("/", "/<path:rest>"):  # so that this, too, is answered in JSON
        made.add_url_rule(rule, "nothing", _nothing, methods=_ALL_METHODS)
    return made


def _let_in() -> None:
    """Refuse who has not logged in, and what another site has a browser send."""
    user = bound_to(current_app).user()
    if user is None:
        refuse(HTTPStatus.UNAUTHORIZED, "not_signed_in", "log in first")
    g.attune_user = user
    if request.method not in {"GET", "HEAD", "OPTIONS"}:
        if request.headers.get("Sec-Fetch-Site", "none") not in _OWN_SITE:
            refuse(HTTPStatus.FORBIDDEN, "other_site", "the request comes from another site")
        request.max_content_length = min(_MAX_BODY, request.max_content_length or _MAX_BODY)
        if request.mimetype != "application/json":
            refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "not_json", "send JSON, as application/json")


def _keep_private(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _enqueue() -> tuple[Response, int, dict[str, str]]:
    from attune_tasks import enqueue

    asked = _body()
    ref = asked["action"]
    _must_be_allowed("enqueue", ref)
    options = {name: asked[name] for name in ("timeout", "idempotency_key") if asked.get(name) is not None}
    if options.get("idempotency_key"):  # nobody gets another's execution by it
        options["idempotency_key"] = json.dumps(["user", g.attune_user, options["idempotency_key"]])
    try:
        handle = enqueue(ref, asked.get("parameters"), caller=g.attune_user, app=_bound().celery, **options)
    except ValueError as error:  # of an idempotency_key
        refuse(HTTPStatus.BAD_REQUEST, "not_a_call", str(error))
    links = {name: url_for(f"{NAME}.{name}", execution=handle.execution_id) for name in ("status", "output")}
    told = {"execution_id": str(handle.execution_id), "task_id": handle.task_id, **links}
    return jsonify(told), HTTPStatus.ACCEPTED, {"Location": links["status"]}


def _status(execution: str) -> Response:
    execution_id, handle = _handle(execution)
    stands = handle.status()
    told: dict[str, Any] = dict.fromkeys(_UNTIL_THE_END)
    if stands not in _NOT_ENDED:
        result = handle.result(timeout=1)
        if result.action_ref == "unknown" and result.error:
            # Its end was not told by an execution, and the id may be another task's, whose error is not for this.
            result = replace(result, error={"type": result.error["type"], "message": "not told by the execution"})
        told = result.to_dict()
        ref = told.pop("action_ref")
        told["action"] = None if ref == "unknown" else ref
    return jsonify({**told, "execution_id": str(execution_id), "task_id": handle.task_id, "status": stands})


def _output(execution: str) -> Response:
    from attune_tasks._celery.live_page import BEGINNING, LivePage, is_place, read_live_page

    execution_id, handle = _handle(execution)
    stands = handle.status()  # before the output is read: what was written before the end is there then
    after = request.args.get("after") or BEGINNING
    if not is_place(after):
        refuse(HTTPStatus.BAD_REQUEST, "bad_request", "after: expected that of the answer before, or nothing")
    page = read_live_page(_bound().celery, execution_id, after, logger) or LivePage((), after, has_more=False)
    told = {"execution_id": str(execution_id), "task_id": handle.task_id, "status": stands, "error": page.fault}
    has_ended = stands not in _NOT_ENDED and not page.has_more and not page.fault
    events = [event.to_dict() for event in page.events]
    return jsonify({**told, "events": events, "after": page.after, "ended": has_ended})


def _nothing(rest: str = "") -> Response:  # noqa: ARG001 - of the rule
    refuse(HTTPStatus.NOT_FOUND, "not_found", "there is nothing here")


def _bound() -> Bound:
    return bound_to(current_app)


def _must_be_allowed(what: What, subject: str) -> None:
    allow = _bound().allow
    if allow is not None and not allow(g.attune_user, what, subject):
        refuse(HTTPStatus.FORBIDDEN, "not_allowed", f"you may not {what} this")


def _handle(execution: str) -> tuple[int, Any]:
    from attune_tasks import Handle

    if len(execution) > _LONGEST_ID or not execution.isprintable():
        refuse(HTTPStatus.NOT_FOUND, "not_found", "this is no execution's id")
    execution_id, task_id = ids_of(execution)
    _must_be_allowed("view", str(execution_id))
    return execution_id, Handle.from_task_id(task_id, _bound().celery)


def _body() -> dict[str, Any]:
    """Read what is to be enqueued; say what is wrong with it, and no value of it: it may be a secret."""
    try:
        asked = request.get_json()
    except (BadRequest, RecursionError) as error:
        raise Refusal(HTTPStatus.BAD_REQUEST, "not_json", "the body is not JSON") from error
    if not isinstance(asked, dict):
        refuse(HTTPStatus.BAD_REQUEST, "not_a_call", "expected a JSON object")
    problems = []
    if asked.keys() - _FIELDS:
        problems.append(f"unknown fields: there are {', '.join(sorted(_FIELDS))}")
    if not isinstance(asked.get("action"), str):
        problems.append("action: expected the ref of an action, as pack.action")
    if not isinstance(asked.get("parameters"), dict | None):
        problems.append("parameters: expected an object")
    if not isinstance(asked.get("idempotency_key"), str | None):
        problems.append("idempotency_key: expected text")
    if problems:
        refuse(HTTPStatus.BAD_REQUEST, "not_a_call", "the request can't be read", problems)
    return asked
