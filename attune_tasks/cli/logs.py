"""``attune-tasks logs``: what an execution says, and has said."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from attune_tasks.cli.asking import asking
from attune_tasks.cli.exits import CANCELLED
from attune_tasks.cli.group import complain
from attune_tasks.cli.live_view import LiveView
from attune_tasks.cli.loading import load_app
from attune_tasks.cli.results import show_result
from attune_tasks.errors import AttuneTasksError

if TYPE_CHECKING:
    from attune_tasks._celery.live_events import Event

__all__ = ["logs", "show_events"]


@click.command()
@click.argument("execution", metavar="EXECUTION_ID|TASK_ID")
@click.option("-f", "--follow", is_flag=True, help="Go on until the execution has ended.")
@click.option("--json", "as_json", is_flag=True, help="Print each event as a line of JSON.")
@click.pass_context
def logs(context: click.Context, *, execution: str, follow: bool, as_json: bool) -> None:
    """Show what an execution has printed, masked, and its progress; with -f, as it comes.

    Where nothing of it is kept any more, what its result has is shown. Ctrl-C ends the following, not the execution.
    """
    from attune_tasks import Handle
    from attune_tasks._celery.shared_state import shared_state
    from attune_tasks.ids import ids_of

    app = load_app(context)
    if shared_state(app) is None:
        msg = "nothing can be followed, for there is no shared state: see state_url"
        raise AttuneTasksError(msg)
    execution_id, task_id = ids_of(execution)
    handle = Handle.from_task_id(task_id, app)
    try:
        with asking(f"execution {execution_id} can't be followed"):
            events = handle.follow(wait=follow)
            if as_json:
                for event in events:
                    click.echo(json.dumps(event.to_dict(), ensure_ascii=False))
                return
            view = LiveView()
            ended = show_events(events, view)
            if ended:
                show_result(handle.result(), as_json=False, output=not view.has_shown_output)
            else:
                complain(f"execution {execution_id} is {handle.status()}")
    except KeyboardInterrupt:
        complain("no longer following; the execution goes on")
        context.exit(CANCELLED)


def show_events(events: Iterable[Event], view: LiveView) -> bool:
    """Show events as they come, to the last; give whether that was the end of the execution."""
    ended = False
    try:
        for each in events:
            event: Any = each
            if event.type == "output":
                view.output(event.stream, event.text, event.dropped)
            elif event.type == "progress":
                view.progress(event.percent, event.message)
            else:
                ended = True
    finally:
        view.close()
    return ended
