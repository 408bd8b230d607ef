"""``attune-tasks config``: the settings in force, and where each came from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click

from attune_tasks.cli.loading import load, show_warnings
from attune_tasks.cli.tables import table

__all__ = ["config"]


@click.command()
@click.pass_context
def config(context: click.Context) -> None:
    """Print the settings in force and where each value came from, secrets masked."""
    loaded = load(context)
    rows = []
    for name, value in _leaves(loaded.masked()):
        text = "(not set)" if value is None else json.dumps(value, ensure_ascii=False)
        rows.append((name, text, f"# {loaded.origins.get(name, 'default')}"))
    for line in table(rows):
        click.echo(line)
    show_warnings(loaded)


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
