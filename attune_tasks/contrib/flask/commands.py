"""``flask attune …``: the command line of attune_tasks, under the application's Celery app."""

from __future__ import annotations

from typing import Any

import click

__all__ = ["attune_command"]


def attune_command(celery: Any) -> click.Command:
    """Make the command for a Celery app. All that follows it is the command line's own, its --help included."""

    @click.command(
        "attune",
        context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
        add_help_option=False,
        short_help="Run, enqueue and list actions, and more: see flask attune --help.",
    )
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def attune(arguments: tuple[str, ...]) -> None:
        from attune_tasks.cli import main

        main.main(args=list(arguments), prog_name="flask attune", obj=celery)

    return attune
