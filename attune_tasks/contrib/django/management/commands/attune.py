"""``manage.py attune``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandParser, handle_default_options
from django.db import connections

__all__ = ["Command"]


class Command(BaseCommand):
    """Hands the whole command line on to click."""

    help = "Run, enqueue and look at actions: `manage.py attune --help`."
    requires_system_checks: list[str] = []  # noqa: RUF012 - Django's own; `packs validate` is for broken ones

    def run_from_argv(self, argv: Sequence[str]) -> None:
        """Take the words behind ``manage.py attune`` as they are, but for Django's own options."""
        parser = CommandParser(add_help=False, allow_abbrev=False)
        parser.add_argument("--settings")
        parser.add_argument("--pythonpath")
        options, words = parser.parse_known_args(list(argv[2:]))
        handle_default_options(options)
        try:
            _run(words)
        finally:
            connections.close_all()

    def add_arguments(self, parser: CommandParser) -> None:
        """Take words from ``call_command("attune", "prune", "--older-than", "30d")``."""
        parser.add_argument("words", nargs=argparse.REMAINDER)

    def handle(self, *_: Any, words: Sequence[str], **__: Any) -> None:
        """Run them; ends in SystemExit where that is not success."""
        try:
            _run(list(words))
        except SystemExit as error:
            if error.code:
                raise


def _run(words: list[str]) -> None:
    from attune_tasks._celery.enqueueing import app_or_default
    from attune_tasks.contrib.django.command_line import main

    main.main(args=words, prog_name="manage.py attune", obj=app_or_default(None))
