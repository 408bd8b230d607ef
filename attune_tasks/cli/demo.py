"""``attune-tasks demo``: actions run through a real Celery worker, and a look at where their secrets don't show."""

from __future__ import annotations

import os
import secrets as randomness
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import click

from attune_tasks.cli.demo_look import (
    Surface,
    look_at_files,
    look_at_process,
    look_at_ps,
    naive_child,
    wait_for,
)
from attune_tasks.cli.demo_workspace import Workspace
from attune_tasks.cli.exits import ERROR
from attune_tasks.cli.group import complain
from attune_tasks.cli.own_worker import OwnWorker
from attune_tasks.cli.results import one_line
from attune_tasks.cli.shipped import bundled_packs
from attune_tasks.cli.signals import ENDING, handled
from attune_tasks.cli.tables import table
from attune_tasks.platforms import platform_notice
from attune_tasks.proc import read

if TYPE_CHECKING:
    from attune_tasks import Handle
    from attune_tasks.packs import Action
    from attune_tasks.result import ExecutionResult

__all__ = ["demo"]

_LONG: Final = "demo.steps"
"""The action which runs long enough to be looked at."""
_PARAMETERS: Final[dict[str, dict[str, Any]]] = {"demo.sign": {"message": "pay 12.50 EUR to Ada"}}
_EXPECTED: Final = {"demo.fail": "failed"}
_START_SECONDS: Final = 12.0
_RESULT_SECONDS: Final = 12.0


@click.command()
@click.pass_context
def demo(context: click.Context) -> None:
    """Show it: run Python, shell and other actions through a real Celery worker, with secrets that show up nowhere.

    Needs no server and no settings. All of it happens in a temporary folder which is removed afterwards.
    """
    notice = platform_notice()
    if notice:
        complain(notice)

    def interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as Python calls a handler
        for each in ENDING:  # nothing interrupts the tidying up
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    os.umask(0o077)
    with handled(interrupt):
        worker, workspace = OwnWorker(), Workspace()
        try:
            problems = _Demo(worker, workspace).run()
        finally:
            worker.stop()
            workspace.remove()
    for problem in problems:
        complain(problem)
    if problems:
        context.exit(ERROR)
    click.echo("\nAll as it should be. `attune-tasks init` writes a project to begin with.")


class _Demo:
    """One showing: what is expected and does not happen is collected."""

    def __init__(self, worker: OwnWorker, workspace: Workspace) -> None:
        self._worker = worker
        self._workspace = workspace
        self._problems: list[str] = []
        self._began = time.monotonic()

    def run(self) -> list[str]:
        """Run all of it; give what was not as expected."""
        from attune_tasks.packs import PackRegistry
        from attune_tasks.runtimes import runtime_names

        actions = PackRegistry.load([bundled_packs()], runtimes=runtime_names()).actions
        self._workspace.fill(actions)
        environment = self._workspace.environment(os.environ)
        folder, log = self._workspace.folder, self._workspace.log
        self._worker.start("attune_tasks.app", folder, log, environment, "-n", "demo@localhost")
        self._say(f"starting a Celery worker: prefork, 2 processes, embedded broker in {self._workspace.folder}")
        # The client is this process: it sees what the worker sees, and none of the user's settings.
        os.environ.clear()
        os.environ.update(environment)
        if not self._wait(self._is_ready, _START_SECONDS):
            return [f"the worker did not get ready; the end of its log:\n{self._workspace.log_tail()}"]
        self._say(f"worker ready, process {self._worker.pid}")
        handles = {_LONG: self._enqueue(_LONG)}
        pids = self._running(handles[_LONG])
        handles |= {action.ref: self._enqueue(action.ref) for action in actions if action.ref != _LONG}
        self._look_at_running(pids, handles[_LONG])
        self._look_at_naive()
        self._collect(actions, handles)
        self._worker.stop()
        self._report("Files of broker, result backend and the worker's log:", self._files())
        return self._problems

    def _say(self, text: str) -> None:
        click.echo(f"[{time.monotonic() - self._began:4.1f} s] {text}")

    def _wait(self, condition: Callable[[], Any], seconds: float) -> Any:
        """Wait for `condition`, and not longer than the worker lives; give what it says then."""
        wait_for(lambda: condition() or not self._worker.is_running(), seconds=seconds)
        return condition()

    def _is_ready(self) -> bool:
        return " ready." in self._workspace.log_tail()

    def _enqueue(self, ref: str) -> Handle:
        from attune_tasks import enqueue
        from attune_tasks.app import app

        handle = enqueue(ref, _PARAMETERS.get(ref), app=app)
        self._say(f"enqueued {ref}, execution {handle.execution_id}")
        return handle

    def _running(self, handle: Handle) -> list[int]:
        """Wait until the execution runs; give its processes, as far as they can be seen."""
        if platform_notice() is None:
            # A forked action shows the empty environment of its launcher; what it starts shows its own.
            self._wait(lambda: any(read(each.pid, "environ") for each in self._worker.executions()), _RESULT_SECONDS)
            return [each.pid for each in self._worker.executions()]
        self._wait(lambda: handle.status() == "running", _RESULT_SECONDS)
        return []

    def _look_at_running(self, pids: list[int], handle: Handle) -> None:
        secrets = self._workspace.secrets
        surfaces = [surface for pid in pids for surface in look_at_process(pid, secrets)]
        from_ps = look_at_ps(secrets)
        if from_ps is None:
            complain("there is no ps here, so /proc alone is looked at; type: apt-get install procps")
        if handle.status() != "running":
            self._problems.append(f"{_LONG} had ended before it could be looked at")
        if not surfaces and platform_notice() is None:
            self._problems.append(f"no process of {_LONG} was seen below the worker")
        title = f"While {_LONG} runs with its secret, as process {', '.join(map(str, pids))}:"
        self._report(title, [*([from_ps] if from_ps else []), *surfaces])

    def _look_at_naive(self) -> None:
        secret = {"API_KEY": randomness.token_urlsafe(24)}
        with naive_child(secret["API_KEY"]) as pid:
            surfaces = list(look_at_process(pid, secret))[:1]
            from_ps = look_at_ps(secret)
        surfaces = [*([from_ps] if from_ps else []), *surfaces]
        click.echo('\nFor contrast, the same look at a child of subprocess.run(..., env={"API_KEY": key}):')
        for line in table([(each.name, each.size, "LEAK" if each.leaked else "clean") for each in surfaces]):
            click.echo(f"  {line}")
        self._problems += [
            f"the secret of the naive child was not found in {each.name}: this look proves nothing"
            for each in surfaces
            if not each.leaked
        ]

    def _report(self, title: str, surfaces: list[Surface]) -> None:
        click.echo(f"\n{title}")
        rows = [(each.name, each.size, "LEAK" if each.leaked else "clean", each.detail) for each in surfaces]
        for line in table(rows):
            click.echo(f"  {line}")
        self._problems += [f"LEAK: {', '.join(each.leaked)} stands in {each.name}" for each in surfaces if each.leaked]

    def _collect(self, actions: tuple[Action, ...], handles: dict[str, Handle]) -> None:
        click.echo()
        results: dict[str, ExecutionResult] = {}
        for ref in sorted(handles, key=lambda ref: ref == _LONG):
            results[ref] = handles[ref].result(_RESULT_SECONDS)
            self._say(f"{ref} {results[ref].status}")
        rows = [("ACTION", "RUNTIME", "STATUS", "MS", "RESULT")]
        for action in actions:
            result = results[action.ref]
            rows.append(
                (action.ref, action.runtime_name, result.status, str(result.duration_ms), _told(result)),
            )
            expected = _EXPECTED.get(action.ref, "succeeded")
            if result.status != expected:
                self._problems.append(f"{action.ref} {result.status}, where {expected} was expected: {_told(result)}")
        click.echo()
        for line in table(rows):
            click.echo(f"  {line}")

    def _files(self) -> list[Surface]:
        return [look_at_files(str(self._workspace.folder), self._workspace.written_files(), self._workspace.secrets)]


def _told(result: ExecutionResult) -> str:
    if result.error is None:
        return one_line(result.result, 90)
    printed = result.stderr.partition("\n")[0]
    return f"{result.error['type']}; on stderr: {printed}"
