"""``attune-tasks ps``: the launchers of all workers."""

from __future__ import annotations

import json

import click

from attune_tasks.cli.asking import asking
from attune_tasks.cli.exits import ERROR
from attune_tasks.cli.group import complain
from attune_tasks.cli.loading import load_app
from attune_tasks.cli.tables import table

__all__ = ["ps"]

_HEADER = ("WORKER", "PID", "PACK", "STATE", "AGE", "MEMORY")


@click.command()
@click.option(
    "--timeout",
    metavar="S",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="Seconds to wait for workers' answers.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a list of launchers as JSON.")
@click.pass_context
def ps(context: click.Context, *, timeout: float, as_json: bool) -> None:
    """List the launchers of the workers that answer: each starts the actions of one pack.

    Ends with 4 where no worker answers.
    """
    from attune_tasks._celery.workers_seen import ask_for_launchers

    app = load_app(context)
    with asking("nothing can be listed"):
        workers = ask_for_launchers(app, timeout)
    found = [(name, launcher) for name, worker in sorted(workers.items()) for launcher in worker.launchers]
    if as_json:
        click.echo(json.dumps([{"worker": name, **launcher.to_dict()} for name, launcher in found]))
    elif found:
        rows = [
            (
                _line(name),
                str(launcher.pid),
                _line(launcher.pack),
                "busy" if launcher.busy else "idle",
                _duration(launcher.age_seconds),
                f"{launcher.memory_kib / 1024:.1f} MiB",
            )
            for name, launcher in found
        ]
        for line in table([_HEADER, *rows]):
            click.echo(line)
    elif workers:
        complain(f"{len(workers)} {'worker has' if len(workers) == 1 else 'workers have'} no launcher yet")
    if not workers:
        complain(f"no worker answered within {timeout:g} s")
        context.exit(ERROR)


def _duration(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _line(text: str) -> str:
    """Make one printable line of what a worker said."""
    return "".join(character if character.isprintable() else "?" for character in text[:100])
