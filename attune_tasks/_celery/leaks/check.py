"""One check, in the scanner: who is watched, what they got, and what the surfaces found."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from attune_tasks._celery.launchers_seen import launchers_below
from attune_tasks._celery.leaks.controls import SentControl
from attune_tasks.ids import task_id_of
from attune_tasks.known_packs import CANARY_PACK, CONTROL_PACK, LEAK_PACKS
from attune_tasks.leaks import Row, Surface, ValueSeeker, Watched
from attune_tasks.leaks.canaries import make_canary, make_short_canary
from attune_tasks.leaks.guarded import Guarded
from attune_tasks.packs import Action, PackRegistry
from attune_tasks.plugins import PluginGroup

__all__ = ["Check", "Tell"]

Tell = Callable[[int, Mapping[str, str]], None]
"""Takes an execution id, and values by the names of its secrets."""

_SURFACE_TAG: Final = "surface="
_INTERVAL: Final = 0.1
_LONGEST_CONTROL: Final = 60
"""Seconds."""
_IDLE_SECONDS: Final = 120.0
"""After which a check ends that nobody asks about: its client is gone."""


class _Fetched(NamedTuple):
    """Which of an execution's secrets the worker fetches itself, and tells."""

    all: bool
    refs: Mapping[str, str]
    """Else the references of some, by the secrets' names."""


class Check:
    """Answers the worker's processes from several threads, while :meth:`run` looks in its own."""

    def __init__(
        self,
        registry: PackRegistry,
        main_pid: int,
        seeker: ValueSeeker,
        surfaces: Sequence[Surface],
        send: Callable[[int, str, Tell, int], SentControl] | None = None,
    ) -> None:
        """Watch nobody yet.

        `send` sends a control by its number, with a value, and tells before whose it is; it stays for so many
        seconds. None: this worker has none.
        """
        self._send = send
        self._registry = registry
        self._main_pid = main_pid
        self._seeker = seeker
        self._surfaces = [Guarded(surface) for surface in surfaces]
        self._lock = threading.Lock()
        self._watched: dict[int, Watched] = {}
        self._fetched: dict[int, _Fetched] = {}
        self._ours: set[int] = set()
        """Executions of our own actions, which return what the kernel said of their crashes. A user's may return a
        `core_dumps` that says anything."""
        self._phase = "starting"
        self._asked = time.monotonic()
        self._ended = threading.Event()
        self._closed = threading.Event()
        self._rows: list[Row] = []

    def run(self, is_alive: Any) -> None:
        """Look until the end is asked for, and then until the rows are taken; or until the worker is gone."""
        for surface in self._surfaces:
            surface.begin()
        self._phase = "ready"
        while not self._ended.wait(_INTERVAL):
            if not is_alive() or time.monotonic() - self._asked > _IDLE_SECONDS:
                self._ended.set()
                self._closed.set()
                break
            running = self._running()
            for surface in self._surfaces:
                surface.look(running)
        everybody = list(self._watched.values())
        for surface in self._surfaces:
            self._rows += surface.end(everybody)
        self._phase = "done"
        self._closed.wait(_IDLE_SECONDS)

    def answer(self, request: Mapping[str, Any], pid: int) -> Mapping[str, Any]:
        """Answer one of the worker's processes."""
        op = request.get("op")
        if op == "secrets":
            return self._secrets(int(request["execution_id"]), list(map(str, request["names"])), pid)
        if op == "values":
            self._seeker.add(int(request["execution_id"]), dict(request["values"]))
            return {}
        self._asked = time.monotonic()
        if op == "watch":
            return self._watch(request)
        if op == "send":
            seconds = min(_LONGEST_CONTROL, int(request["seconds"]))
            return self._send_control(int(request["number"]), str(request["label"]), seconds)
        if op == "over":
            return self._over(int(request["execution_id"]), int(request.get("core_dumps") or 0))
        if op == "end":
            self._ended.set()
        elif op == "close":
            self._ended.set()
            self._closed.set()
        told = self._told()
        if "execution_id" in request:
            told["gone_through"] = self._gone_through(int(request["execution_id"]))
        return told

    def _gone_through(self, execution_id: int) -> dict[str, float]:
        return {
            each.name: each.gone_through[execution_id] for each in self._surfaces if execution_id in each.gone_through
        }

    def _told(self) -> dict[str, Any]:
        told: dict[str, Any] = {"phase": self._phase}
        if self._phase == "ready":
            actions = self._registry.actions
            here = {surface.name for surface in self._surfaces}  # a web framework's, only where there is one
            told["canaries"] = [
                {"ref": action.ref, "runtime": _label(action)} for action in actions if action.pack.ref == CANARY_PACK
            ]
            told["controls"] = [
                {"ref": action.ref, "surfaces": surfaces}
                for action in actions
                if (surfaces := [name for name in _surfaces_of(action) if name in here])
            ]
        if self._phase == "done":
            told["rows"] = [row.to_dict() for row in self._rows]
            told["ignored"] = sorted({name for _, name in self._seeker.ignored})
            known = {action.runtime_name for action in self._registry.actions if action.pack.ref == CANARY_PACK}
            told["without_canary"] = sorted(set(PluginGroup("attune_tasks.runtimes", "runtime").names()) - known)
        return told

    def _watch(self, request: Mapping[str, Any]) -> dict[str, Any]:
        ref = str(request.get("ref"))
        if ref not in self._registry:
            return {"refused": f"this worker has no action {ref}"}
        action = self._registry.get(ref)
        label = action.ref if action.pack.ref == CONTROL_PACK else _label(action)
        refs = {str(name): str(text) for name, text in dict(request.get("refs") or {}).items()}
        if refs and action.pack.ref != CANARY_PACK:
            # Control commands are not signed: who can send one must not choose which secret an action is given.
            return {"refused": f"{ref} is no canary action: it gets no other secrets than its metadata names"}
        number, task_id = int(request["execution_id"]), str(request["task_id"])
        self._add(number, task_id, label, real=bool(request.get("real")), refs=refs)
        if action.pack.ref in LEAK_PACKS:
            self._ours.add(number)
        return {"runtime": _label(action), "secrets": sorted(action.secrets)}

    def _send_control(self, number: int, label: str, seconds: int) -> dict[str, Any]:
        """Send a control whose value the sender leaks: it is made here, for no client is to know one."""
        if self._send is None:
            return {"refused": "this worker has no controls: the setting leak_check.controls is off"}

        def tell(execution_id: int, secrets: Mapping[str, str]) -> None:
            self._seeker.add(execution_id, secrets)
            self._add(execution_id, task_id_of(execution_id), label)

        sent = self._send(number, make_short_canary(), tell, seconds)
        return {"execution_id": str(sent.execution_id), "task_id": sent.task_id, "runs": sent.runs}

    def _add(
        self, execution_id: int, task_id: str, label: str, *, real: bool = False, refs: Mapping[str, str] | None = None
    ) -> None:
        with self._lock:
            self._watched[execution_id] = Watched(execution_id, task_id, label, main_pid=self._main_pid)
            self._fetched[execution_id] = _Fetched(real, refs or {})

    def _secrets(self, execution_id: int, names: Sequence[str], pid: int) -> dict[str, Any]:
        with self._lock:
            watched = self._watched.get(execution_id)
            if watched is None or watched.is_over:
                return {"refused": "leak-check does not watch this execution: it gets no secret"}
            watched.pool_pid = pid
            fetched = self._fetched[execution_id]
        refs = {name: text for name, text in fetched.refs.items() if name in names}
        if fetched.all:
            return {"values": {}, "refs": {}}
        values = {
            name: make_short_canary() if name.endswith("_short") else make_canary()
            for name in names
            if name not in refs
        }
        self._seeker.add(execution_id, values)
        return {"values": values, "refs": refs}

    def _over(self, execution_id: int, core_dumps: int) -> dict[str, Any]:
        with self._lock:
            watched = self._watched.get(execution_id)
            if watched is not None:
                watched.is_over = True
                watched.core_dumps = core_dumps if execution_id in self._ours else 0
        return {}

    def _running(self) -> list[Watched]:
        with self._lock:
            running = [each for each in self._watched.values() if not each.is_over]
        for each in running:
            if each.pool_pid and not each.launcher_pid:
                busy = [launcher.pid for launcher in launchers_below(each.pool_pid) if launcher.busy]
                each.launcher_pid = busy[0] if busy else 0
        return running


def _surfaces_of(action: Action) -> list[str]:
    """Give the surfaces that must catch an action, by its tags; none where it leaks nothing on purpose."""
    if action.pack.ref != CONTROL_PACK:
        return []
    return [tag.removeprefix(_SURFACE_TAG) for tag in action.tags if tag.startswith(_SURFACE_TAG)]


def _label(action: Action) -> str:
    return f"{action.runtime_name} (exec)" if action.isolation == "exec" else action.runtime_name
