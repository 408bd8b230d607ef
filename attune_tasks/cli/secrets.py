"""``attune-tasks secrets check``: whether an action's secrets can be had, never what they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from attune_tasks.cli.exits import SUCCEEDED, code_of_error
from attune_tasks.cli.loading import load, run_overrides
from attune_tasks.cli.tables import table
from attune_tasks.errors import SecretsUnavailableError

if TYPE_CHECKING:
    from attune_tasks.packs import Action
    from attune_tasks.secrets import SecretManager

__all__ = ["secrets"]


@click.group()
def secrets() -> None:
    """Look whether secrets can be had."""


@secrets.command()
@click.argument("ref")
@click.option(
    "--packs", "folders", metavar="DIR", multiple=True, type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option("--secrets-file", metavar="FILE", type=click.Path(path_type=Path))
@click.pass_context
def check(context: click.Context, ref: str, folders: Sequence[Path], secrets_file: Path | None) -> None:
    """Try each reference that the action REF declares, its secret parameters' too: found, or why not.

    Values are never shown. Warns of those that are too short or too common to be masked in output. Ends with 3 where
    one that is required can't be had, or the setting masking.strict refuses one.
    """
    from attune_tasks.executor import build_executor

    executor = build_executor(load(context, run_overrides(folders, secrets_file)))
    action = executor.registry.get(ref)
    rows, all_there, unmasked = _look(action, executor.secret_manager)
    if not rows:
        click.echo(f"{action.ref} declares no secrets")
    for line in table(rows):
        click.echo(line)
    strict = executor.settings.masking.strict
    for name in unmasked:
        follows = "the setting masking.strict refuses it" if strict else "it is not masked in output"
        click.echo(f"attune-tasks: {name}: the value is too short or too common: {follows}", err=True)
    refused = not all_there or (strict and unmasked)
    context.exit(code_of_error(SecretsUnavailableError.code) if refused else SUCCEEDED)


def _look(action: Action, manager: SecretManager) -> tuple[list[tuple[str, str, str, str]], bool, list[str]]:
    """Give a row for each reference, whether all that are required can be had, and whose values can't be masked."""
    from attune_tasks.masking import is_maskable

    rows = []
    all_there = True
    unmasked = []
    for kind, declared in _declared(action):
        required = {name: secret.required for name, secret in declared.secrets.items()}
        for name, reference, found, reason, passed in manager.check(declared, is_maskable):
            if not passed:
                unmasked.append(kind + name)
            all_there = all_there and (found or not required[name])
            optional = "" if required[name] else " (optional)"
            rows.append((kind + name, reference, ("found" if found else "MISSING") + optional, reason))
    return rows, all_there, unmasked


def _declared(action: Action) -> list[tuple[str, Action]]:
    """Give the action itself, then a copy of it for each reference that a secret parameter may be."""
    from attune_tasks.packs import SecretDeclaration

    return [("", action)] + [
        ("-p ", replace(action, secrets={parameter.name: SecretDeclaration(parameter.name, reference)}))
        for parameter in action.schema.secret_parameters.values()
        for reference in parameter.allow
    ]
