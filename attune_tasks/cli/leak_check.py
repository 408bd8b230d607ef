"""``attune-tasks leak-check``: looks for secrets wherever they could show, on the user's own set-up."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from attune_tasks.cli.asking import asking
from attune_tasks.cli.exits import ERROR, SUCCEEDED
from attune_tasks.cli.group import complain
from attune_tasks.cli.leak_flower import with_login
from attune_tasks.cli.leak_table import told
from attune_tasks.cli.loading import load_app, name_of_app
from attune_tasks.cli.parameters import parameter_options, read_parameters

if TYPE_CHECKING:
    from attune_tasks._celery.leaks.client import CheckOptions, CheckResult, RemoteCheck
    from attune_tasks.leaks import Row
    from attune_tasks.result import ExecutionResult

__all__ = ["leak_check"]

_LEAK: Final = 1
_CANARY_SECONDS: Final = 120.0
_TOO_SHORT: Final = re.compile("ended too soon|ended before all of its memory was looked at")
_LONGER: Final = "--seconds has it stay longer"


@click.command("leak-check")
@click.argument("ref", required=False)
@parameter_options
@click.option("--worker", metavar="NAME@HOST", help="The worker to look at; needed where several take part.")
@click.option(
    "--canary-ref",
    metavar="REFERENCE",
    help="A secret made for this, as vault://secret/leak-check#canary: canaries get it as a real secret is got.",
)
@click.option("--real", is_flag=True, help="With REF: its real secrets in place of canaries. Asks first.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--file-seconds",
    metavar="S",
    type=click.FloatRange(min=0, max=200),
    default=30.0,
    show_default=True,
    help="For the search of all files that have changed, at the end.",
)
@click.option(
    "--seconds",
    metavar="S",
    type=click.FloatRange(min=0, max=30),
    help="How long each canary action stays to be looked at, where the worker's host is busy; default: 1.",
)
@click.option("--own-redis", is_flag=True, help="MONITOR shows all that any client says: only where it is yours alone.")
@click.option("--flower", metavar="URL", help="Where Flower is; default: http://127.0.0.1:5555, if there.")
@click.option(
    "--flower-login",
    metavar="FILE",
    type=click.File(encoding="utf-8"),
    help="Has USER:PASSWORD for Flower; `-`: standard input.",
)
@click.option("--vault-audit-log", metavar="PATH", help="Vault's audit log, on the worker's host.")
@click.option(
    "--self-test", is_flag=True, help="Run actions that leak on purpose, on a worker of its own: each must be caught."
)
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
@click.pass_context
def leak_check(  # noqa: PLR0913 - one per option
    context: click.Context,
    *,
    ref: str | None,
    pairs: Sequence[str],
    document: str | None,
    worker: str | None,
    canary_ref: str | None,
    real: bool,
    yes: bool,
    own_redis: bool,
    flower: str | None,
    flower_login: TextIO | None,
    vault_audit_log: str | None,
    file_seconds: float,
    seconds: float | None,
    self_test: bool,
    as_json: bool,
) -> None:
    """Run canary actions, or the action REF with canaries for its secrets, and look for them everywhere.

    The worker takes part where its setting leak_check.enabled says so. Processes, memory and files are looked at there;
    no value comes back. Ends with 1 where a secret shows.
    """
    _refuse_what_does_not_go_together(context.params)
    if flower_login:
        flower = with_login(flower, flower_login.read())
    if real and not yes:
        click.confirm(f"Run {ref} with its real secrets, and look for them?", abort=True, err=True)
    app = load_app(context)
    from attune_tasks._celery.leaks.client import CheckOptions, RemoteCheck, find_worker

    options = CheckOptions(
        own_redis,
        flower,
        vault_audit_log,
        file_seconds,
        asks_vault=bool(real or canary_ref),
        runs_ref=ref is not None,
    )
    if self_test:
        context.exit(_test_itself(app, name_of_app(context), options, as_json=as_json))
    with asking("nothing was looked at"), RemoteCheck(app, find_worker(app, worker), options) as check:
        if ref is None:
            failed = _run_canaries(check, canary_ref, seconds)
        else:
            failed = _run_own(check, ref, read_parameters(pairs, document, None), real=real)
        found = check.end()
    if ref is None:
        found = replace(found, rows=tuple(map(_with_hint, found.rows)))
    _show(found, as_json=as_json)
    if found.leaks:
        context.exit(_LEAK)
    if failed:
        context.exit(ERROR)


def _refuse_what_does_not_go_together(given: dict[str, Any]) -> None:
    is_own = given["ref"] is not None
    if (given["real"] or given["pairs"] or given["document"]) and not is_own:
        msg = "--real, -p and --parameters are for an action REF"
        raise click.UsageError(msg)
    if given["seconds"] is not None and (is_own or given["self_test"]):
        msg = "--seconds is for the canary actions: REF and the self-test take the time that they need"
        raise click.UsageError(msg)
    if given["canary_ref"] and is_own:
        msg = "--canary-ref is for the canary actions: with REF use --real"
        raise click.UsageError(msg)
    if given["self_test"] and (is_own or given["canary_ref"] or given["worker"] or given["vault_audit_log"]):
        msg = (
            "--self-test has actions, a worker and a log for Vault of its own: leave out REF, --canary-ref, --worker"
            " and --vault-audit-log"
        )
        raise click.UsageError(msg)


def _test_itself(app: Any, app_name: str, options: CheckOptions, *, as_json: bool) -> int:
    """Run the self-test; give the exit code."""
    from attune_tasks.cli.leak_self_test import run_self_test, told_of

    with asking("the self-test did not come to its end"):
        caught = run_self_test(app, app_name, options)
    if as_json:
        click.echo(json.dumps({"controls": [asdict(each) for each in caught]}))
    else:
        for line in told_of(caught):
            click.echo(line)
    return _LEAK if any(each.verdict == "clean" for each in caught) else SUCCEEDED


def _run_canaries(check: RemoteCheck, canary_ref: str | None, seconds: float | None) -> bool:
    """Run all canary actions; give whether one did not end as it should."""
    failed = False
    refs = {"canary": canary_ref} if canary_ref else {}
    for ref, runtime in check.canaries:
        complain(f"{ref} ({runtime}) …")
        fails = ref.endswith("_fails")  # at once, however long it may stay
        stays = {} if fails or seconds is None else {"seconds": seconds}
        result = check.run(ref, stays, refs=refs, timeout=_CANARY_SECONDS)
        if result.status != ("failed" if fails else "succeeded"):
            complain(f"{ref} did not end as it should: {_end_of(result)}")
            failed = True
    return failed


def _run_own(check: RemoteCheck, ref: str, parameters: dict[str, Any], *, real: bool) -> bool:
    """Run the user's action; give whether it could not be run."""
    complain(f"{ref} …")
    result = check.run(ref, parameters, real=real)
    complain(f"{ref}: {_end_of(result)}")
    return result.status == "error"


def _with_hint(row: Row) -> Row:
    """Say in a canary's row, where it was too short, by what it is longer."""
    return replace(row, why=_TOO_SHORT.sub(rf"\g<0> ({_LONGER})", row.why)) if row.why else row


def _end_of(result: ExecutionResult) -> str:
    error = result.error or {}
    return f"{result.status}: {error['message']}" if "message" in error else result.status


def _show(found: CheckResult, *, as_json: bool) -> None:
    if as_json:
        rows = [row.to_dict() for row in found.rows]
        lists = {"ignored": list(found.ignored), "runtimes_without_canary": list(found.without_canary)}
        click.echo(json.dumps({"rows": rows, **lists}))
        return
    for line in told(found.rows):
        click.echo(line)
    if found.ignored:
        click.echo(f"not looked for, for they are too short to be told from chance: {', '.join(found.ignored)}")
    if found.without_canary:
        names = ", ".join(found.without_canary)
        click.echo(f"runtimes for which there is no canary action: {names}: check an action of theirs by its name")
