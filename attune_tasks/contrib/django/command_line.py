"""``manage.py attune``: all commands of ``attune-tasks``, and those for the database."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import click

from attune_tasks.cli import main as cli
from attune_tasks.cli.group import CommandLine
from attune_tasks.contrib.django.options import age_of, django_options

__all__ = ["main"]


class _Age(click.ParamType):  # type: ignore[type-arg]  # generic in its newest stubs only
    name = "age"

    def convert(self, value: Any, param: Any, ctx: Any) -> timedelta:
        try:
            return age_of(value)
        except ValueError as error:
            return self.fail(str(error), param, ctx)


@click.group(cls=CommandLine, context_settings=dict(cli.context_settings))
def main() -> None:
    """Run actions under Django's settings and the project's Celery app.

    Exit codes: 0 succeeded, 1 the action failed, 2 wrong usage, unknown action or bad parameters, 3 secrets can't be
    had, 4 error, 124 timed out, 130 cancelled.
    """


@main.command()
@click.option(
    "--older-than", metavar="AGE", type=_Age(), help="As 30d or 12h; default: ATTUNE_TASKS['django']['keep']."
)
def prune(older_than: timedelta | None) -> None:
    """Delete the records of executions that have ended, and are older than that."""
    from attune_tasks.contrib.django.keeping import prune as delete

    age = django_options().keep if older_than is None else older_than
    if age is None:
        msg = "give --older-than, or set ATTUNE_TASKS['django']['keep']"
        raise click.UsageError(msg)
    click.echo(f"{delete(age)} executions deleted")


@main.command()
def refresh() -> None:
    """Take the ends that nobody could write down from the result backend."""
    from attune_tasks.contrib.django.keeping import refresh_unfinished

    click.echo(f"{refresh_unfinished()} executions have an end now")


@main.command()
def permissions() -> None:
    """Make the permissions of packs and actions that are new, as `migrate` does."""
    from attune_tasks.contrib.django.permissions import make_permissions

    for name in make_permissions():
        click.echo(name)


_OWN_APP: Final = frozenset({"demo"})
"""Commands which bring an app of their own have no place here."""

for _name, _command in cli.commands.items():
    if _name not in _OWN_APP:
        main.add_command(_command, _name)
