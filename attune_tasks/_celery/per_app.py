"""What one Celery app has of ours: its settings, packs and executor. Kept on the app, never in a module."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, Final

from celery import Celery, _state
from celery.exceptions import SoftTimeLimitExceeded

from attune_tasks._celery.message_keys import read_message_keys

if TYPE_CHECKING:
    from attune_tasks.executor import ActionExecutor
    from attune_tasks.packs import PackRegistry
    from attune_tasks.settings import LoadedSettings

__all__ = ["AppState", "forget_states", "state_of"]

_ATTRIBUTE: Final = "_attune_tasks_state"


class AppState:
    """Loads each thing when it is first asked for, once, and keeps it. Safe to use from several threads."""

    def __init__(self, app: Celery) -> None:
        """Read nothing yet: the app may not be configured."""
        self._app = app
        self._lock = threading.RLock()
        self._loaded: LoadedSettings | None = None
        self._registry: PackRegistry | None = None
        self._executor: ActionExecutor | None = None
        self._executor_process = 0
        self.worker_pid: int | None = None
        """The worker's main process, with whose end its executions end; None: there is no worker here."""
        self.is_beat = False
        """Whether this process is Celery's beat, which nothing is to hold up."""
        self.leak_check_address = ""
        """Where leak-check's scanner is when it runs; empty: this worker does not take part."""
        self._message_keys: tuple[bytes, ...] | None = None

    @property
    def loaded(self) -> LoadedSettings:
        """The settings in force, with ``app.conf.attune_tasks`` among them. Raises SettingsError."""
        if self._loaded is None:  # without the lock: a pool process that is forked while another thread has it waits
            with self._lock:
                from attune_tasks.settings import load_settings

                self._loaded = self._loaded or load_settings(app_settings=self._app.conf.get("attune_tasks"))
        return self._loaded

    @property
    def registry(self) -> PackRegistry:
        """The packs that are known here; empty where the default folder is missing. Raises PackError."""
        if self._registry is None:
            with self._lock:
                if self._registry is None:
                    from attune_tasks.known_packs import load_packs

                    self._registry = load_packs(self.loaded)
        return self._registry

    @property
    def message_keys(self) -> tuple[bytes, ...]:
        """The keys of signed messages, read once; the first one signs. Empty: none is signed. Raises SettingsError."""
        if self._message_keys is None:  # asked for each task of the app: without the lock
            with self._lock:
                path = self.loaded.settings.message_key_file
                self._message_keys = read_message_keys(path) if path else ()
        return self._message_keys

    @property
    def executor(self) -> ActionExecutor:
        """The executor of this process; a forked one makes its own. Raises PackError and PluginError."""
        with self._lock:
            if self._executor is None or self._executor_process != os.getpid():
                from attune_tasks.executor import build_executor

                guardians = (self.worker_pid,) if self.worker_pid else ()
                self._executor = build_executor(self.loaded, (SoftTimeLimitExceeded,), guardians)
                self._executor_process = os.getpid()
            return self._executor

    def close(self) -> None:
        """End what this process keeps ready for its next execution."""
        with self._lock:
            if self._executor is not None and self._executor_process == os.getpid():
                self._executor.close()


def state_of(app: Celery) -> AppState:
    """Give what `app` has of ours; it goes when the app goes."""
    state: AppState | None = app.__dict__.get(_ATTRIBUTE)
    # setdefault is one step for the interpreter: two threads get the same object.
    return state or app.__dict__.setdefault(_ATTRIBUTE, AppState(app))


def forget_states() -> None:
    """Have the apps of this process load their settings and packs anew, where a test has changed them."""
    every: Any = _state  # its stubs leave the list of apps out
    for app in list(every._get_active_apps()):  # noqa: SLF001 - there is no public list
        state: AppState | None = app.__dict__.pop(_ATTRIBUTE, None)
        if state is not None:
            state.close()
