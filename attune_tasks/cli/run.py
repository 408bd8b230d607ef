"""``attune-tasks run``: one action, in this process, with no broker."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from attune_tasks.cli.exits import code_of_result
from attune_tasks.cli.group import complain
from attune_tasks.cli.live_sink import ViewSink
from attune_tasks.cli.live_view import LiveView
from attune_tasks.cli.loading import load, run_overrides, show_warnings
from attune_tasks.cli.parameters import parameter_options, read_parameters
from attune_tasks.cli.results import show_result
from attune_tasks.cli.signals import handled
from attune_tasks.platforms import platform_notice

if TYPE_CHECKING:
    from attune_tasks.process import Cancellation

__all__ = ["run"]


@click.command()
@click.argument("ref")
@parameter_options
@click.option(
    "--packs",
    metavar="DIR",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of packs, instead of the settings'. May be given several times.",
)
@click.option(
    "--secrets-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Take secrets from this TOML or YAML file (mode 0600).",
)
@click.option(
    "--timeout",
    metavar="S",
    type=click.FloatRange(min=0, min_open=True),
    help="Seconds; shortens the action's own timeout, never lengthens it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, and nothing else.")
@click.pass_context
def run(  # noqa: PLR0913 - one per option
    context: click.Context,
    *,
    ref: str,
    pairs: Sequence[str],
    document: str | None,
    packs: Sequence[Path],
    secrets_file: Path | None,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Run the action REF (pack.action) in this process, with no broker.

    Its output and its progress are shown as they come, with secrets masked. Ctrl-C ends the action: SIGTERM, a grace,
    SIGKILL; Ctrl-C again kills it at once.
    """
    from attune_tasks._celery.callers import default_caller
    from attune_tasks.context import ExecutionRequest
    from attune_tasks.executor import build_executor
    from attune_tasks.ids import new_execution_id
    from attune_tasks.process import Cancellation

    notice = platform_notice()
    if notice:
        complain(notice)
    loaded = load(context, run_overrides(packs, secrets_file))
    if not as_json:
        show_warnings(loaded)
    executor = build_executor(loaded)
    action = executor.registry.get(ref) if ref in executor.registry else None
    request = ExecutionRequest(
        execution_id=new_execution_id(),
        action_ref=ref,
        parameters=read_parameters(pairs, document, action),
        timeout=timeout,
        caller=default_caller(),
        caller_verified=True,  # nobody else can have started this process
    )
    cancellation = Cancellation()
    view = LiveView()
    live = None if as_json else ViewSink(view, loaded.settings.output.keep_bytes)
    try:
        with handled(_asking(cancellation)):
            result = executor.execute(request, cancellation, live)
    except BaseException:
        view.close()
        raise
    finally:
        cancellation.close()
        executor.close()
    if live is not None:
        live.close()
    show_result(result, as_json=as_json, output=not view.has_shown_output)
    context.exit(code_of_result(result))


def _asking(cancellation: Cancellation) -> Callable[[int, FrameType | None], None]:
    """Make a handler: the first signal cancels, a second one interrupts, upon which the supervisor kills at once."""

    def ask(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as Python calls a handler
        if cancellation.requested:
            raise KeyboardInterrupt
        cancellation.cancel()
        # Not by a buffered stream, which this handler may have interrupted.
        with suppress(OSError):  # standard error may be closed
            os.write(2, b"attune-tasks: ending the action; once more to kill it at once\n")

    return ask
