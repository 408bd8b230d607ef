"""The surfaces "result" and "error and traceback": what the result backend gives for each task, read and as stored."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final

from celery import Celery, states

from attune_tasks._celery.leaks.base import CelerySurface
from attune_tasks._celery.leaks.in_time import in_time, say
from attune_tasks._celery.leaks.redis_places import backend_client, close_client
from attune_tasks._celery.shared_state import is_redis
from attune_tasks.leaks import Row, Seeker, Watched

__all__ = ["ErrorSurface", "ResultSurface"]

_LOOK_SECONDS: Final = 0.5
_REST_SECONDS: Final = 3.0
_READ_SECONDS: Final = 2.0
_FAILURES: Final = 3
_POLL_SECONDS: Final = 0.05
_DEEPEST: Final = 8

Part = tuple[str, Any]


class _StoredSurface(CelerySurface):
    def __init__(self, name: str, app: Celery, seeker: Seeker) -> None:
        super().__init__(name, seeker)
        self._app = app
        self._looked = 0.0
        self._failures = 0
        self._why_not = ""
        self._states: dict[str, str] = {}
        self._client: Any = None

    def begin(self) -> None:
        """See whether results can be read by others than their callers."""
        backend: Any = self._app.backend
        if type(backend).__name__ == "DisabledBackend":
            self._why_not = "there is no result backend: set result_backend"
        elif str(backend.as_uri()).startswith("rpc"):
            self._why_not = "results are sent to their callers alone (rpc://), and are not stored"
        elif is_redis(backend):
            self._client = backend_client(self._app)  # which gives up soon; the backend's own may wait for minutes
        if self._why_not:
            self._not_looked_at(self._why_not)

    def look(self, executions: Sequence[Watched]) -> None:
        """Read what is stored so far."""
        if not self._why_not and time.monotonic() - self._looked >= _LOOK_SECONDS:
            self._looked = time.monotonic()
            self._read(executions)

    def end(self, executions: Sequence[Watched]) -> Iterable[Row]:
        """Wait for the final states, and read them."""
        deadline = time.monotonic() + _REST_SECONDS
        self._failures = 0  # it may have come back
        while not self._why_not and executions:
            self._read(executions)
            if self._is_final([each for each in executions if each.is_over]) or time.monotonic() > deadline:
                break
            time.sleep(_POLL_SECONDS)
        for runtime in dict.fromkeys(each.runtime for each in executions if not self._why_not):
            missing = [each for each in executions if each.runtime == runtime and not self._is_final([each])]
            if missing:
                self._not_looked_at("the final state of an execution is not stored", runtime)
        if self._client is not None:
            close_client(self._client)
        return super().end(executions)

    def _is_final(self, executions: Sequence[Watched]) -> bool:
        return all(self._states.get(each.task_id) in states.READY_STATES for each in executions)

    def _stored(self, task_id: str) -> tuple[dict[str, Any], Any]:
        """Give what a reader of the result gets, and how it stands there."""
        backend: Any = self._app.backend
        key = backend.get_key_for_task(task_id) if hasattr(backend, "get_key_for_task") else None
        if self._client is None:
            raw = backend.get(key) if key is not None else None
            return backend.get_task_meta(task_id, cache=False), raw
        raw = self._client.get(key)
        return backend.decode_result(raw) if raw else {"status": states.PENDING}, raw

    def _read(self, executions: Sequence[Watched]) -> None:
        for each in executions:
            if self._failures >= _FAILURES:
                return
            try:
                meta, raw = in_time(partial(self._stored, each.task_id), _READ_SECONDS)
                parts = list(self._parts(meta, raw))
            except Exception as error:  # noqa: BLE001 - whatever a backend raises: its text may quote the URL
                self._failures += 1
                self._partly(f"a result can't be read ({say(error)})")
                continue
            self._states[each.task_id] = str(meta.get("status"))
            for where, value in parts:
                for text in _texts_of(value):
                    self._search(text, f"{self.name} of task {each.task_id}, {where}")

    def _parts(self, meta: dict[str, Any], raw: Any) -> Iterator[Part]:
        raise NotImplementedError


class ResultSurface(_StoredSurface):
    """State, result and children of each task, whether it succeeded or not, and all that is stored of it."""

    def __init__(self, app: Celery, seeker: Seeker) -> None:
        """Read nothing yet."""
        super().__init__("result", app, seeker)

    def _parts(self, meta: dict[str, Any], raw: Any) -> Iterator[Part]:
        yield from meta.items()
        yield "as stored", raw


class ErrorSurface(_StoredSurface):
    """The exception and the traceback of each task that has failed."""

    def __init__(self, app: Celery, seeker: Seeker) -> None:
        """Read nothing yet."""
        super().__init__("error and traceback", app, seeker)

    def end(self, executions: Sequence[Watched]) -> Iterable[Row]:
        """Say for which runtimes no execution has failed."""
        rows = list(super().end(executions))
        failed = {each.runtime for each in executions if self._states.get(each.task_id) == states.FAILURE}
        for row in rows:
            if row.verdict == "clean" and row.runtime not in failed:
                why = "no execution of this runtime has failed: run one that does"
                yield Row(row.surface, row.runtime, "not looked at", why)
            else:
                yield row

    def _parts(self, meta: dict[str, Any], raw: Any) -> Iterator[Part]:
        if meta.get("status") not in states.EXCEPTION_STATES:
            return
        error = meta.get("result")
        if isinstance(error, BaseException):
            reads: tuple[tuple[str, Callable[[Any], Any]], ...] = (("repr", repr), ("text", str), ("attributes", vars))
            for name, read in reads:
                yield f"{type(error).__name__}, its {name}", read(error)
            yield f"{type(error).__name__}, its arguments", error.args
            yield "its cause", [repr(error.__cause__), repr(error.__context__)]
        yield "traceback", meta.get("traceback")
        yield "as stored", raw


def _texts_of(value: Any, depth: int = 0) -> Iterator[bytes | str]:
    """Give the texts in a value of any type, and what it is as JSON."""
    if isinstance(value, bytes | str):
        yield value
    elif isinstance(value, dict) and depth < _DEEPEST:
        for name, item in value.items():
            yield str(name)
            yield from _texts_of(item, depth + 1)
    elif isinstance(value, list | tuple) and depth < _DEEPEST:
        for item in value:
            yield from _texts_of(item, depth + 1)
    elif value is not None:
        yield json.dumps(value, default=repr)
