"""Signs what is published, and judges what is received, where the setting ``message_key_file`` says so.

Celery publishes from inside a worker too: the next step of a chain, callbacks, retries. It takes them from the message
that the worker got. So a worker signs on behalf of a task only where that task's own message was right: otherwise
whoever can write to the broker could send a harmless task with an action for its callback, and have the worker sign
that. For the same reason every message that carries an action is signed, whatever its own task is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from celery import Celery, signals
from celery._state import get_current_app, get_current_worker_task
from celery.utils.log import get_logger

from attune_tasks._celery.callers import CALLER_HEADER, default_caller, read_header
from attune_tasks._celery.calls import shown_of
from attune_tasks._celery.per_app import state_of
from attune_tasks._celery.signing import SIGNATURE_HEADER, Message, sign, verify
from attune_tasks.errors import AttuneTasksError, MessageRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["judge", "on_behalf_of", "refusal_of", "sending_by", "sign_published", "signature_for"]

logger: Final = get_logger("attune_tasks.messages")

_ACTION: Final = "attune_tasks.run_action"
_VERDICT: Final = "attune_verdict"
_sending: Final[ContextVar[Celery | None]] = ContextVar("attune_tasks_sending", default=None)
_behalf: Final[ContextVar[bool]] = ContextVar("attune_tasks_behalf", default=False)
"""Whether what is sent follows from a message that was found right, in place of the task that had it."""
_worker_main: Final[set[int]] = set()
"""The pid of the worker's main process, where this is one or was forked from one."""


@contextmanager
def sending_by(app: Celery) -> Iterator[None]:
    """Say which app sends: Celery's signal does not. Without it the current app's settings count."""
    token = _sending.set(app)
    try:
        yield
    finally:
        _sending.reset(token)


@contextmanager
def on_behalf_of(app: Celery, headers: Mapping[str, Any], request: Any) -> Iterator[None]:
    """Send what follows a stored message in place of its task, signed only where that message is right."""
    keys = state_of(app).message_keys
    is_right = False
    if keys:
        afterwards = {name: getattr(request, name) for name in ("callbacks", "errbacks", "chain", "chord")}
        try:
            caller = read_header(headers, CALLER_HEADER)
            message = Message(headers["task"], headers["id"], request.args, request.kwargs, afterwards, caller)
            verify(message, keys, read_header(headers, SIGNATURE_HEADER))
            is_right = True
        except Exception as error:  # noqa: BLE001 - a stranger's message raises what it likes: it is not right
            logger.debug("what follows a message is not signed: %s", type(error).__name__)
    token = _behalf.set(is_right)
    try:
        with sending_by(app):
            yield
    finally:
        _behalf.reset(token)


def signature_for(app: Celery, headers: Mapping[str, Any], body: Any) -> str | None:
    """Give the signature header of a message; None where `app` signs none, or not this one.

    `headers` are Celery's, of protocol 2, with the caller's name among them; `body` is its tuple. Raises SettingsError.
    """
    state = state_of(app)
    if not state.message_keys or not isinstance(body, tuple):
        return None
    args, kwargs, afterwards = body
    message = Message(headers["task"], headers["id"], args, kwargs, afterwards or {}, headers.get(CALLER_HEADER))
    starts = datetime.fromisoformat(headers["eta"]).timestamp() if headers.get("eta") else time.time()
    return sign(message, state.message_keys[0], starts + state.loaded.settings.message_lifetime)


@signals.before_task_publish.connect
def sign_published(sender: Any, body: Any, headers: dict[str, Any], **_: Any) -> None:
    """Show no argument, name the caller, and sign, in every message that carries an action."""
    found = _find_action(sender, *body) if isinstance(body, tuple) else None
    if found is None:
        return  # with task_protocol 1 there are no headers to put a signature in
    if sender == _ACTION:
        headers["argsrepr"], headers["kwargsrepr"] = shown_of(body[0], body[1])
    headers.setdefault(CALLER_HEADER, default_caller())
    headers.pop(SIGNATURE_HEADER, None)  # a retry has its old one
    task = get_current_worker_task()
    try:
        app = _sending.get() or (task.app if task is not None else found.app or get_current_app())
        if not state_of(app).message_keys:
            return
        if _may_sign(task):
            signature = signature_for(app, headers, body)
            if signature is not None:
                headers[SIGNATURE_HEADER] = signature
            return
        why = "it comes from a message that was not signed itself, or from a worker's main process"
    except AttuneTasksError as error:  # Celery would log a traceback and go on
        why = str(error)
    logger.warning("a message of %s goes out unsigned, and will be refused: %s", headers.get("id"), why)


@signals.worker_init.connect
def remember_worker(**_: Any) -> None:
    """Note that this process is a worker's main one, which has no task of its own to sign for."""
    _worker_main.clear()
    _worker_main.add(os.getpid())


@signals.task_prerun.connect
def judge(task: Any, task_id: str, **_: Any) -> None:
    """Look at the signature of a message before its task begins, while all parts are as they came."""
    request = task.request
    refusal: str | None = None
    try:
        keys = state_of(task.app).message_keys
        afterwards = {name: getattr(request, name) for name in ("callbacks", "errbacks", "chain", "chord")}
        if not keys or _find_action(task.name, request.args, request.kwargs, afterwards) is None:
            return
        if request.id != task_id:  # the body can name another one, of a message that was signed
            _refuse("its body does not belong to its headers")
        caller = read_header(request.headers, CALLER_HEADER)
        message = Message(task.name, task_id, request.args, request.kwargs, afterwards, caller)
        verify(message, keys, read_header(request.headers, SIGNATURE_HEADER))
    except AttuneTasksError as error:
        refusal = str(error)
    except Exception as error:  # noqa: BLE001 - Celery would log whatever a stranger's message raises, and go on
        refusal = f"the message was refused, and nothing was run: it can't be read ({type(error).__name__})"
    setattr(request, _VERDICT, _Verdict(refusal))


def refusal_of(task: Any) -> MessageRefusedError | None:
    """Say why the message of the task that runs now is refused; None: it was found right, or nothing is signed here.

    Raises SettingsError where the keys can't be read.
    """
    if not state_of(task.app).message_keys:
        return None
    verdict = _verdict_of(task.request)
    if verdict is None:
        return MessageRefusedError("nothing was run: it came by no message. Call it by enqueue() or delay()")
    return None if verdict.refusal is None else MessageRefusedError(verdict.refusal)


class _Verdict(NamedTuple):
    """What was found of a message. A class, for a request's attributes come from its message: JSON has none of it."""

    refusal: str | None


def _verdict_of(request: Any) -> _Verdict | None:
    verdict = getattr(request, _VERDICT, None)
    return verdict if isinstance(verdict, _Verdict) else None


def _refuse(why: str) -> NoReturn:
    msg = f"the message was refused, and nothing was run: {why}"
    raise MessageRefusedError(msg)


def _may_sign(task: Any) -> bool:
    if _behalf.get():
        return True
    if task is None:
        return os.getpid() not in _worker_main
    verdict = _verdict_of(task.request)
    # A task that carries no action has no verdict: what it sends, its own code decided.
    return verdict.refusal is None if verdict is not None else bool(task.name != _ACTION)


class _Found(NamedTuple):
    """An action, or a signature of one, in a message."""

    app: Celery | None = None
    """The app that the signature is for, where that is known."""


def _find_action(name: str, args: Any, kwargs: Any, afterwards: Any) -> _Found | None:
    if name == _ACTION:
        return _Found()
    left: list[Any] = list((afterwards or {}).values())
    if name.startswith("celery."):  # chord_unlock and others have what they send among their arguments
        left += [args, kwargs]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            if value.get("task") == _ACTION:
                return _Found(getattr(value, "_app", None))
            left += value.values()
        elif isinstance(value, list | tuple):
            left += value
        elif value == _ACTION:
            return _Found()
    return None
