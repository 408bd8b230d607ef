"""``attune-tasks ps``: the executions that are not over, and the launchers of all workers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from attune_tasks.cli.asking import asking
from attune_tasks.cli.exits import ERROR
from attune_tasks.cli.group import complain
from attune_tasks.cli.loading import load_app
from attune_tasks.cli.tables import table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attune_tasks._celery.executions_seen import SeenExecution
    from attune_tasks._celery.launchers_seen import SeenLauncher

__all__ = ["ps"]

_EXECUTIONS = ("EXECUTION", "ACTION", "STATE", "AGE", "WORKER", "ATTEMPT", "PROGRESS")
_LAUNCHERS = ("WORKER", "PID", "PACK", "STATE", "AGE", "MEMORY")


@click.command()
@click.option(
    "--timeout",
    metavar="S",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="Seconds to wait for workers' answers.",
)
@click.option("--json", "as_json", is_flag=True, help="Print both lists as JSON.")
@click.pass_context
def ps(context: click.Context, *, timeout: float, as_json: bool) -> None:
    """List the executions that run or wait, and the launchers of the workers that answer.

    A launcher starts the actions of one pack. Ends with 4 where no worker answers.
    """
    from attune_tasks._celery.executions_seen import seen_executions
    from attune_tasks._celery.workers_seen import ask_for_launchers

    app = load_app(context)
    with asking("nothing can be listed"):
        executions = seen_executions(app, timeout)
        workers = ask_for_launchers(app, timeout)
    launchers = [(name, launcher) for name, worker in sorted(workers.items()) for launcher in worker.launchers]
    if as_json:
        told = [{"worker": name, **launcher.to_dict()} for name, launcher in launchers]
        click.echo(json.dumps({"executions": [each.to_dict() for each in executions], "launchers": told}))
    else:
        _show(executions, launchers)
    if not workers:
        complain(f"no worker answered within {timeout:g} s")
        context.exit(ERROR)
    if not (as_json or launchers):
        complain(f"{len(workers)} {'worker has' if len(workers) == 1 else 'workers have'} no launcher yet")


def _show(executions: Sequence[SeenExecution], launchers: Sequence[tuple[str, SeenLauncher]]) -> None:
    listed: list[Any] = [
        (
            str(each.execution_id),
            _line(each.action_ref),
            each.state,
            _duration(each.age_seconds),
            _line(each.worker) or "-",
            str(each.attempt),
            "-" if each.percent is None else f"{each.percent:g} % {_line(each.message)}".rstrip(),
        )
        for each in executions
    ]
    rows = [
        (
            _line(name),
            str(launcher.pid),
            _line(launcher.pack),
            "busy" if launcher.busy else "idle",
            _duration(launcher.age_seconds),
            f"{launcher.memory_kib / 1024:.1f} MiB",
        )
        for name, launcher in launchers
    ]
    if listed:
        for line in table([_EXECUTIONS, *listed]):
            click.echo(line)
    else:
        click.echo("no execution runs or waits")
    if rows:
        click.echo()
        for line in table([_LAUNCHERS, *rows]):
            click.echo(line)


def _duration(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _line(text: str) -> str:
    """Make one printable line of what a worker said."""
    return "".join(character if character.isprintable() else "?" for character in text[:100])
