"""An execution's end, shown to a person or given to a program."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from attune_tasks.result import ExecutionResult

__all__ = ["one_line", "show_result", "summary"]

_LONGEST: Final = 300


def show_result(result: ExecutionResult, *, as_json: bool, output: bool = True) -> None:
    """Print the result as one line of JSON; or the action's own output, then one line about it on standard error.

    Without `output` that line alone: the rest has been shown already.
    """
    if as_json:
        click.echo(result.to_json())
        return
    streams = (
        (result.stdout, result.stdout_truncated, False),
        (result.stderr, result.stderr_truncated, True),
    )
    for text, truncated, to_stderr in streams if output else ():
        if truncated:
            click.echo("attune-tasks: only the end is kept of what follows", err=True)
        if text:
            click.echo(text, nl=not text.endswith("\n"), err=to_stderr)
    click.echo(f"attune-tasks: {summary(result)}", err=True)


def summary(result: ExecutionResult) -> str:
    """Say in one line what ended how."""
    parts = [f"{result.action_ref} {result.status.replace('_', ' ')} in {result.duration_ms} ms"]
    if result.error is not None:
        # What an action says may be of many lines; what we refuse it for lists every fault on a line of its own.
        message = result.error["message"]
        said = message if result.status == "error" else " ".join(message.split())
        parts.append(f"{result.error['type']}: {said}")
    if result.secrets_missing:
        parts.append(f"without the secrets {', '.join(result.secrets_missing)}")
    if result.not_masked:
        parts.append(f"not masked, being too short or too common: {', '.join(result.not_masked)}")
    if result.result is not None:
        parts.append(f"result {one_line(result.result)}")
    return "; ".join(parts)


def one_line(value: object, longest: int = _LONGEST) -> str:
    """Give a JSON value in one line, cut at `longest` characters."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
