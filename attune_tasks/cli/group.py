"""The group which turns every error into full words on standard error and an exit code, never into a traceback."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import click

from attune_tasks.cli.exits import CANCELLED, ERROR, SUCCEEDED, code_of_error
from attune_tasks.errors import AttuneTasksError, place_of

__all__ = ["CommandLine", "complain", "reason_of"]


def complain(text: str) -> None:
    """Say what went wrong, on standard error."""
    click.echo(f"attune-tasks: {text}", err=True)


def reason_of(error: BaseException) -> str:
    """Say what a library's error is: its class, and the system's error behind it. Other texts may quote a password."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return f"{type(error).__name__}: {cause.strerror}"
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


class CommandLine(click.Group):
    """A group of commands. A command ends with its exit code by ``context.exit(code)``."""

    def main(self, *arguments: Any, **options: Any) -> NoReturn:
        """Run the command line, and leave the process with its exit code."""
        try:
            code = super().main(*arguments, **{**options, "standalone_mode": False})
        except click.ClickException as error:
            error.show()
            code = error.exit_code
        except (click.Abort, KeyboardInterrupt):
            complain("interrupted")
            code = CANCELLED
        except AttuneTasksError as error:
            complain(str(error))
            code = code_of_error(error.code)
        except SystemExit:  # click's own, where the reader of our output has enough; it has quieted the streams
            code = ERROR
        except Exception as error:  # noqa: BLE001 - its text may quote a secret: the class and the place must do
            complain(f"unexpected {type(error).__name__} at {place_of(error)}")
            code = ERROR
        sys.exit(code if isinstance(code, int) else SUCCEEDED)
