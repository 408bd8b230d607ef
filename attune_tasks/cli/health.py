"""``attune-tasks health``: whether the worker beside takes what waits in its queues."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from attune_tasks.cli.group import complain
from attune_tasks.cli.loading import load, load_app

__all__ = ["health"]

_UNHEALTHY: Final = 1
"""As container engines have it."""


@click.command()
@click.option(
    "--file",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="What the worker notes in. Default: the setting health_file.",
)
@click.option(
    "--seconds",
    metavar="S",
    type=click.FloatRange(min=0),
    default=6.0,
    show_default=True,
    help="How long the worker may take nothing of what waits, while it has a free slot.",
)
@click.pass_context
def health(context: click.Context, *, file: Path | None, seconds: float) -> None:
    """Say whether the worker beside takes what waits in its queues: by them, not by its process or its answers.

    Ends with 1 where a message waits, a slot is free and nothing is taken, or where the worker's loop hangs; with 0
    otherwise. For the health check of a container, where the worker has the setting health_file.
    """
    from attune_tasks._celery.health.look import look_at_worker

    path = file or load(context).settings.health_file
    if path is None:
        msg = "no file to go by: set health_file for the worker and for this command, or name it by --file"
        raise click.UsageError(msg)
    verdict = look_at_worker(load_app(context), path, seconds)
    if not verdict.healthy:
        complain(f"unhealthy: {verdict.text}")
        context.exit(_UNHEALTHY)
    click.echo(f"healthy: {verdict.text}")
