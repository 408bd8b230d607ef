"""``attune-tasks packs``: what actions there are, and whether their packs are in order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from attune_tasks.cli.loading import load, run_overrides
from attune_tasks.cli.results import one_line
from attune_tasks.cli.tables import table

if TYPE_CHECKING:
    from attune_tasks.packs import Action, PackRegistry

__all__ = ["packs"]

_FOLDERS = click.argument(
    "folders", metavar="[DIR]...", nargs=-1, type=click.Path(exists=True, file_okay=False, path_type=Path)
)


@click.group()
def packs() -> None:
    """List, show and validate packs."""


@packs.command("list")
@_FOLDERS
@click.pass_context
def list_actions(context: click.Context, folders: Sequence[Path]) -> None:
    """List the actions of the settings' packs, or of those in DIR."""
    registry = _registry(context, folders)
    if not registry.actions:
        click.echo("There are no actions. `attune-tasks init` writes a pack to begin with.", err=True)
    for line in table([(action.ref, action.runtime_name, _headline(action)) for action in registry.actions]):
        click.echo(line)


@packs.command()
@click.argument("ref")
@_FOLDERS
@click.pass_context
def show(context: click.Context, ref: str, folders: Sequence[Path]) -> None:
    """Show all about the action REF, or the actions of the pack REF."""
    registry = _registry(context, folders)
    pack = next((pack for pack in registry.packs if pack.ref == ref), None)
    if pack is None:
        _show_action(registry.get(ref))
        return
    click.echo(f"{pack.ref} {pack.version}".strip())
    for text in (pack.label, pack.description, str(pack.path)):
        if text:
            click.echo(f"  {text}")
    for line in table([(a.ref, a.runtime_name, _headline(a)) for a in registry.actions if a.pack.ref == ref]):
        click.echo(f"  {line}")


@packs.command()
@_FOLDERS
@click.pass_context
def validate(context: click.Context, folders: Sequence[Path]) -> None:
    """Check the settings' packs, or those in DIR; name their faults with file and line."""
    registry = _registry(context, folders)
    click.echo(f"{_count(len(registry.packs), 'pack')} with {_count(len(registry.actions), 'action')}: no fault")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _registry(context: click.Context, folders: Sequence[Path]) -> PackRegistry:
    from attune_tasks.known_packs import load_packs

    return load_packs(load(context, run_overrides(folders)))


def _headline(action: Action) -> str:
    text = " ".join((action.label or action.description).split())
    return text if action.enabled else f"(disabled) {text}".strip()


def _show_action(action: Action) -> None:
    click.echo(f"{action.ref}{'' if action.enabled else ' (disabled)'}")
    for text in (action.label, action.description):
        if text:
            click.echo(f"  {' '.join(text.split())}")
    rows = [
        ("runtime", action.runtime_name),
        ("script", str(action.entry_path)),
        ("metadata", str(action.source)),
        ("timeout", "the setting `timeout`" if action.timeout is None else f"{action.timeout:g} s"),
        ("queue", action.queue or ""),
        ("tags", ", ".join(action.tags)),
        ("environment a caller may set", ", ".join(sorted(action.env_allow))),
        ("legacy_env", "yes: secrets in the environment, too, where the operator allows it" * action.legacy_env),
    ]
    for line in table([row for row in rows if row[1]]):
        click.echo(f"  {line}")
    _section("parameters", [*_public_rows(action), *_secret_rows(action)])
    _section(
        "secrets",
        [(secret.name, secret.ref, "" if secret.required else "optional") for secret in action.secrets.values()],
    )


def _section(title: str, rows: list[tuple[str, ...]]) -> None:
    click.echo(f"  {title}:{'' if rows else ' none'}")
    for line in table(rows):
        click.echo(f"    {line}")


def _public_rows(action: Action) -> list[tuple[str, ...]]:
    schema = action.schema.schema
    required = schema.get("required", ())
    return [
        (name, _kind(entry), _need(entry, required=name in required), _described(entry))
        for name, entry in schema.get("properties", {}).items()
    ]


def _secret_rows(action: Action) -> list[tuple[str, ...]]:
    return [
        (name, "secret", "required" if parameter.required else "optional", f"one of {', '.join(parameter.allow)}")
        for name, parameter in action.schema.secret_parameters.items()
    ]


def _kind(entry: object) -> str:
    kind = entry.get("type", "any") if isinstance(entry, dict) else "any"
    return " or ".join(map(str, kind)) if isinstance(kind, list) else str(kind)


def _need(entry: object, *, required: bool) -> str:
    if isinstance(entry, dict) and "default" in entry:
        return f"default {one_line(entry['default'], 40)}"
    return "required" if required else "optional"


def _described(entry: object) -> str:
    return " ".join(str(entry.get("description", "")).split()) if isinstance(entry, dict) else ""
