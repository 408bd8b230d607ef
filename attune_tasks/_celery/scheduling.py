"""schedule(): an entry of Celery's ``beat_schedule`` that runs an action, checked where it is written."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from celery import Celery
from celery._state import get_current_app  # what the proxy celery.current_app asks
from celery.schedules import BaseSchedule
from celery.schedules import schedule as interval

from attune_tasks import tasks
from attune_tasks._celery.callers import CALLER_HEADER
from attune_tasks._celery.calls import Call
from attune_tasks.errors import InvalidParametersError

if TYPE_CHECKING:
    from attune_tasks.settings import LoadedSettings

__all__ = ["schedule"]


def schedule(  # noqa: PLR0913 - the options that a task message has
    ref: str,
    when: BaseSchedule | timedelta | float,
    /,
    *,
    parameters: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    queue: str | None = None,
    expires: float | timedelta | None = None,
    priority: int | None = None,
    caller: str | None = None,
    idempotency_key: str | None = None,
    idempotency_seconds: float | None = None,
    app: Celery | None = None,
    **named: Any,
) -> dict[str, Any]:
    """Give an entry of ``beat_schedule`` which runs the action `ref`.

    `when` is a ``crontab(…)``, another schedule of Celery's, a timedelta, or seconds. What is given by further names
    is the action's parameters; `parameters` takes those whose names are arguments here. The rest is as for
    ``enqueue``: `timeout` and `expires` (from the time of each sending) are in seconds. With `idempotency_key`, what
    several beats send within `idempotency_seconds`, which must be less than lies between two runs, is sent once.

    The packs are looked at here where it is known which they are: where `app` is given, the current app takes nothing
    more from a module, or a variable names them. The rest is looked at when beat starts.

    Raises UnknownActionError, InvalidParametersError, ValueError for what is no time, and TypeError for a parameter
    that is given twice.
    """
    _check_when(when)
    own: dict[str, Any] = {
        "env": env,
        "timeout": timeout,
        "queue": queue,
        "expires": expires,
        "priority": priority,
        "caller": caller,
    }
    own |= {"idempotency_key": idempotency_key, "idempotency_seconds": idempotency_seconds, "app": app}
    call = Call(ref, _merged(parameters, named), None if env is None else dict(env), timeout)
    call.check()
    options = {"queue": queue, "priority": priority, "expires": _seconds(expires, "expires")}
    options |= _once(idempotency_key, idempotency_seconds, when)
    entry_options: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if caller is not None:
        entry_options["headers"] = {CALLER_HEADER: caller}
    loaded = _known_settings(app)
    if loaded is not None:
        taken = (
            frozenset(name for name, value in own.items() if value is not None) if parameters is None else frozenset()
        )
        _check_packs(call, loaded, taken)
    keywords = {name: value for name, value in (("env", call.env), ("timeout", timeout)) if value is not None}
    return {
        "task": tasks.NAME,  # which every app knows by now: beat sends it by its own apply_async
        "schedule": when,
        "args": [ref, dict(call.parameters or {})],
        "kwargs": keywords,
        "options": entry_options,
    }


def _merged(parameters: Mapping[str, Any] | None, named: Mapping[str, Any]) -> dict[str, Any]:
    given = dict(parameters or {})
    twice = sorted(given.keys() & named.keys())
    if twice:
        msg = f"these stand in `parameters` and beside it: {', '.join(map(str, twice))}"
        raise TypeError(msg)
    return given | dict(named)


def _check_when(when: object) -> None:
    is_number = isinstance(when, int | float) and not isinstance(when, bool)
    if isinstance(when, BaseSchedule) or (isinstance(when, timedelta) and when > timedelta(0)):
        return
    if not is_number or not 0 < when < float("inf"):  # type: ignore[operator]  # it is a number by now
        msg = "when: expected a crontab or another schedule of Celery's, a timedelta, or seconds above 0"
        raise ValueError(msg)


def _seconds(value: float | timedelta | None, name: str) -> float | None:
    if value is None:
        return None
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < float("inf"):
        msg = f"{name}: expected seconds above 0, or a timedelta; a date would end all runs after it"
        raise ValueError(msg)
    return seconds


def _once(key: str | None, seconds: float | None, when: object) -> dict[str, Any]:
    if key is None and seconds is None:
        return {}
    if not isinstance(key, str) or not key or seconds is None:
        msg = "idempotency_key is text that is not empty, and idempotency_seconds stands beside it"
        raise ValueError(msg)
    seconds = _seconds(seconds, "idempotency_seconds")
    every: Any = getattr(when, "run_every", when) if isinstance(when, interval) else when
    every = every.total_seconds() if isinstance(every, timedelta) else every
    if isinstance(every, int | float) and seconds is not None and seconds >= every:
        msg = f"idempotency_seconds: expected less than the {every:g} seconds between two runs, or runs would be lost"
        raise ValueError(msg)
    return {"idempotency_key": key, "idempotency_seconds": seconds}


def _known_settings(app: Celery | None) -> LoadedSettings | None:
    """Give the settings, where those of the app are there; None: it is not known yet which packs there are.

    Nothing is kept on the app, whose settings may still change: an entry often stands among them.
    """
    from attune_tasks.settings import load_settings

    current: Any = app if app is not None else get_current_app()
    if app is not None or current.configured:
        return load_settings(app_settings=current.conf.get("attune_tasks"))
    # Where nobody made an app, Celery makes one of this name up.
    if current.main != "default" and current._config_source is None:  # noqa: SLF001 - the rest is in what was set by now
        return load_settings(app_settings=current._preconf.get("attune_tasks"))  # noqa: SLF001 - the same
    # To ask the app for its settings might import the module in which this stands.
    loaded = load_settings()
    return loaded if loaded.origins.get("packs", "").startswith("variable ") else None


def _check_packs(call: Call, loaded: LoadedSettings, taken: frozenset[str]) -> None:
    from attune_tasks.known_packs import load_packs

    registry = load_packs(loaded)
    if call.ref in registry:
        schema = registry.get(call.ref).schema
        unclear = sorted(taken & (schema.schema.get("properties", {}).keys() | schema.secret_parameters.keys()))
        if unclear:
            msg = f"{call.ref}: these are arguments of schedule() and parameters of the action, too"
            way = "give the action's by `parameters={…}`; with it, what stands beside it is schedule()'s"
            raise InvalidParametersError(msg, problems=[f"{name}: {way}" for name in unclear])
    call.check_against(registry, loaded.settings)
