"""``attune-tasks enqueue``: one action, by the Celery app's broker."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from attune_tasks.cli.exits import CANCELLED, code_of_result
from attune_tasks.cli.group import complain, reason_of
from attune_tasks.cli.live_view import LiveView
from attune_tasks.cli.loading import load_app
from attune_tasks.cli.logs import show_events
from attune_tasks.cli.parameters import parameter_options, read_parameters
from attune_tasks.cli.results import show_result

if TYPE_CHECKING:
    from attune_tasks import Handle
    from attune_tasks.packs import Action

__all__ = ["enqueue"]


@click.command()
@click.argument("ref")
@parameter_options
@click.option("--queue", metavar="NAME", help="The queue to send it to, instead of the one it is routed to.")
@click.option(
    "--timeout",
    metavar="S",
    type=click.FloatRange(min=0, min_open=True),
    help="Seconds; shortens the action's own timeout, never lengthens it.",
)
@click.option(
    "--idempotency-key",
    metavar="KEY",
    help="Within a day of a first enqueue of REF with this key, give that execution, and send nothing.",
)
@click.option("--wait", is_flag=True, help="Wait for the end, show output and progress, and end as the action does.")
@click.option("--json", "as_json", is_flag=True, help="Print the ids, or with --wait the result, as JSON.")
@click.pass_context
def enqueue(  # noqa: PLR0913 - one per option
    context: click.Context,
    *,
    ref: str,
    pairs: Sequence[str],
    document: str | None,
    queue: str | None,
    timeout: float | None,
    idempotency_key: str | None,
    wait: bool,
    as_json: bool,
) -> None:
    """Enqueue the action REF (pack.action) for a worker, by the Celery app that -A names."""
    app = load_app(context)
    parameters = read_parameters(pairs, document, _known_action(app, ref))
    handle = _sent(app, ref, parameters, {"timeout": timeout, "queue": queue, "idempotency_key": idempotency_key})
    ids = {"execution_id": str(handle.execution_id), "task_id": handle.task_id}
    if not wait:
        click.echo(json.dumps(ids) if as_json else f"execution {ids['execution_id']}, task {ids['task_id']}")
        return
    if not as_json:
        click.echo(f"attune-tasks: execution {ids['execution_id']}, task {ids['task_id']}", err=True)
    view = LiveView()
    try:
        if not as_json:
            _show(handle, view)
        result = handle.result()
    except KeyboardInterrupt:
        complain(f"no longer waiting; the execution goes on as task {handle.task_id}")
        context.exit(CANCELLED)
    show_result(result, as_json=as_json, output=not view.has_shown_output)
    context.exit(code_of_result(result))


def _show(handle: Handle, view: LiveView) -> None:
    """Show output and progress to the end; where they can't be had, the result will have to do."""
    try:
        show_events(handle.follow(), view)
    except OSError:  # whoever reads it has enough
        raise
    except Exception as error:  # noqa: BLE001 - the client's own; its text may quote a URL
        complain(f"it can't be followed: {reason_of(error)}")


def _known_action(app: Any, ref: str) -> Action | None:
    """Give the action where its pack is here; the worker's packs may be elsewhere."""
    from attune_tasks._celery.per_app import state_of

    registry = state_of(app).registry
    return registry.get(ref) if ref in registry else None


def _sent(app: Any, ref: str, parameters: dict[str, Any], options: dict[str, Any]) -> Handle:
    import attune_tasks

    cause = ""
    try:
        return attune_tasks.enqueue(ref, parameters, **options, app=app)
    except attune_tasks.AttuneTasksError:
        raise
    except Exception as error:  # noqa: BLE001 - kombu's and the broker's own; their texts may quote a URL
        cause = reason_of(error)
    msg = f"{ref} was not enqueued, for the broker can't be used: {cause}; see `attune-tasks doctor`"
    raise attune_tasks.AttuneTasksError(msg)
