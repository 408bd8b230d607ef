"""``attune-tasks cancel``: end one execution, wherever it runs or waits."""

from __future__ import annotations

import json

import click

from attune_tasks.cli.asking import asking
from attune_tasks.cli.exits import ERROR
from attune_tasks.cli.loading import load_app

__all__ = ["cancel"]


@click.command()
@click.argument("execution", metavar="EXECUTION_ID|TASK_ID")
@click.option(
    "--timeout",
    metavar="S",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="Seconds to wait for workers' answers.",
)
@click.option("--json", "as_json", is_flag=True, help="Print ids and answer as JSON.")
@click.pass_context
def cancel(context: click.Context, *, execution: str, timeout: float, as_json: bool) -> None:
    """End one execution: SIGTERM to all its processes, the grace, SIGKILL. One that waits is not started.

    Ends with 4 where no worker answers. A worker of the solo pool hears of it when its execution has ended.
    """
    from attune_tasks._celery.cancelling import cancel_execution
    from attune_tasks.ids import ids_of

    app = load_app(context)
    execution_id, task_id = ids_of(execution)
    with asking(f"execution {execution_id} was not cancelled"):
        answer = cancel_execution(app, execution_id, task_id, timeout)
    if as_json:
        ids = {"execution_id": str(execution_id), "task_id": task_id}
        click.echo(json.dumps({**ids, "outcome": answer.outcome, "workers": list(answer.workers)}))
    else:
        click.echo(f"execution {execution_id}: {answer}")
    if answer.outcome == "no_worker":
        context.exit(ERROR)
