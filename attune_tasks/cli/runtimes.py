"""``attune-tasks runtimes``: which languages can be run here."""

from __future__ import annotations

import click

from attune_tasks.cli.exits import ERROR
from attune_tasks.cli.loading import load
from attune_tasks.cli.tables import table

__all__ = ["runtimes"]


@click.command()
@click.pass_context
def runtimes(context: click.Context) -> None:
    """List the installed runtimes: what each starts, and which distribution brought it.

    Ends with 4 where one of them can't be used.
    """
    from attune_tasks.errors import AttuneTasksError
    from attune_tasks.plugins import PluginGroup
    from attune_tasks.runtimes import get_runtime, runtime_names

    options = load(context).settings.runtimes
    group = PluginGroup("attune_tasks.runtimes", "runtime")
    rows = []
    broken = False
    for name in runtime_names():
        try:
            rows.append((name, "ok", get_runtime(name, options.get(name)).describe(), group.distribution(name)))
        except AttuneTasksError as error:
            broken = True
            rows.append((name, "FAIL", str(error), ""))
    for line in table(rows):
        click.echo(line)
    if broken:
        context.exit(ERROR)
