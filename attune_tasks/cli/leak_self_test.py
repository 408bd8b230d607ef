"""``leak-check --self-test``: a worker of its own, and on it everything that leaks on purpose."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final

from attune_tasks.cli.demo_look import wait_for
from attune_tasks.cli.group import complain
from attune_tasks.cli.own_worker import OwnWorker
from attune_tasks.cli.tables import table
from attune_tasks.errors import AttuneTasksError

if TYPE_CHECKING:
    from attune_tasks._celery.leaks.client import CheckOptions
    from attune_tasks._celery.leaks.self_test import Caught

__all__ = ["run_self_test", "told_of"]

_START_SECONDS: Final = 30.0
_LOG_TAIL: Final = 2000
_LONGEST_WALK: Final = 100.0


def run_self_test(app: Any, app_name: str, options: CheckOptions) -> list[Caught]:
    """Start the worker, run all controls there, and end it. Raises AttuneTasksError."""
    from attune_tasks._celery.leaks.client import RemoteCheck
    from attune_tasks._celery.leaks.self_test import VAULT_LOG, run_controls, to_be_tried_again

    def say(what: str) -> None:
        complain(f"{what} …")

    with (
        tempfile.TemporaryDirectory(prefix="attune-tasks-leak-check-") as folder,
        _own_worker(app, app_name, Path(folder, "worker.log")) as name,
    ):
        # Vault and its log are left as they are: a file of our own, to which a control adds a line, stands for it.
        vault_log = Path(folder, VAULT_LOG)
        vault_log.touch()
        options = replace(options, vault_audit_log=str(vault_log), asks_vault=True)
        with RemoteCheck(app, name, options) as check:
            first = run_controls(check, say, Path(folder))
        missed = to_be_tried_again(first)
        if not missed:
            return first
        # Longer for the files, too.
        longer = replace(options, file_seconds=max(options.file_seconds, min(_LONGEST_WALK, 3 * options.file_seconds)))
        with RemoteCheck(app, name, longer) as check:
            second = run_controls(check, say, Path(folder), missed)
        return [each for each in first if each not in missed] + second


def told_of(caught: Sequence[Caught]) -> Iterator[str]:
    """Give the lines of a table: what each surface made of its controls."""
    said = {"LEAK": "caught", "clean": "MISSED", "not looked at": "not looked at"}
    rows = [("SURFACE", "CONTROL", "", "WHERE, OR WHY NOT")]
    rows += [(each.surface, each.control, said[each.verdict], each.where) for each in caught]
    yield from table(rows)


@contextmanager
def _own_worker(app: Any, app_name: str, log: Path) -> Iterator[str]:
    """Run a worker that takes the check's executions alone, and give its name."""
    from attune_tasks._celery.leaks.client import find_worker
    from attune_tasks._celery.leaks.queues import forget_queue

    mark = token_hex(4)
    name = f"leak-self-test-{mark}@{socket.gethostname()}"
    environment = {
        **os.environ,
        "ATTUNE_TASKS_LEAK_CHECK__ENABLED": "true",
        "ATTUNE_TASKS_LEAK_CHECK__CONTROLS": "true",
    }
    queue = f"attune-leak-self-test-{mark}"
    worker = OwnWorker()
    complain("starting a worker of its own …")
    try:
        worker.start(app_name, Path.cwd(), log, environment, "-n", name, "-Q", queue, "-E")
        wait_for(lambda: not worker.is_running() or _is_ready(log), seconds=_START_SECONDS)
        if not (worker.is_running() and _is_ready(log)):
            tail = log.read_text(encoding="utf-8", errors="replace")[-_LOG_TAIL:]
            msg = f"the self-test's own worker did not get ready; the end of its log:\n{tail}"
            raise AttuneTasksError(msg)
        yield find_worker(app, name)
    finally:
        worker.stop()
        forget_queue(app, queue)


def _is_ready(log: Path) -> bool:
    return " ready." in log.read_text(encoding="utf-8", errors="replace")
