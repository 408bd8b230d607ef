"""The group of all commands."""

from __future__ import annotations

import click
from click.core import ParameterSource

from attune_tasks.cli.cancel import cancel
from attune_tasks.cli.config import config
from attune_tasks.cli.demo import demo
from attune_tasks.cli.doctor import doctor
from attune_tasks.cli.enqueue import enqueue
from attune_tasks.cli.group import CommandLine
from attune_tasks.cli.health import health
from attune_tasks.cli.init import init
from attune_tasks.cli.leak_check import leak_check
from attune_tasks.cli.loading import APP_VARIABLE, DEFAULT_APP
from attune_tasks.cli.logs import logs
from attune_tasks.cli.packs import packs
from attune_tasks.cli.ps import ps
from attune_tasks.cli.run import run
from attune_tasks.cli.runtimes import runtimes
from attune_tasks.cli.secrets import secrets

__all__ = ["main"]


@click.group(cls=CommandLine, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "-A",
    "--app",
    metavar="MODULE:ATTR",
    envvar=APP_VARIABLE,
    help=f"Your Celery app, whose settings then count, too. Default: {DEFAULT_APP}, the ready-made one.",
)
@click.version_option(package_name="attune-tasks", prog_name="attune-tasks")
@click.pass_context
def main(context: click.Context, app: str | None) -> None:
    """Run scripts through Celery with their secrets on standard input.

    Exit codes: 0 succeeded, 1 the action failed, 2 wrong usage, unknown action or bad parameters, 3 secrets can't be
    had, 4 error, 124 timed out, 130 cancelled.
    """
    if context.obj is None:
        context.obj = app
    elif context.get_parameter_source("app") is ParameterSource.COMMANDLINE:
        msg = "the Celery app is this application's own: leave -A out"
        raise click.UsageError(msg)


# The modules of the commands import click and the errors only; what a command needs it imports when it runs.
for command in (
    *(demo, init, run, enqueue, logs, cancel, ps, packs, runtimes, secrets, config, doctor, health, leak_check),
):
    main.add_command(command)
