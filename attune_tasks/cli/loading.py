"""What several commands load: the settings, and the Celery app that ``--app`` names."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from attune_tasks.cli.group import complain
from attune_tasks.errors import AttuneTasksError, place_of

if TYPE_CHECKING:
    from attune_tasks.settings import LoadedSettings

__all__ = ["APP_VARIABLE", "DEFAULT_APP", "load", "load_app", "name_of_app", "run_overrides", "show_warnings"]

APP_VARIABLE: Final = "ATTUNE_TASKS_APP"
DEFAULT_APP: Final = "attune_tasks.app:app"
_USUAL_NAMES: Final = ("app", "celery", "celery_app")


def load(context: click.Context, overrides: Mapping[str, Any] | None = None) -> LoadedSettings:
    """Load the settings, those of the Celery app included where ``--app`` names one. Raises SettingsError."""
    from attune_tasks.settings import load_settings

    named = context.find_root().obj
    app_settings = load_app(context).conf.get("attune_tasks") if named else None
    return load_settings(overrides=overrides, app_settings=app_settings)


def run_overrides(packs: Sequence[Path], secrets_file: Path | None = None) -> dict[str, Any]:
    """Give the settings that ``--packs`` and ``--secrets-file`` stand for."""
    overrides: dict[str, Any] = {}
    if packs:
        overrides["packs"] = list(packs)
    if secrets_file is not None:
        overrides["secrets"] = {"provider": "file", "file": {"path": secrets_file}}
    return overrides


def load_app(context: click.Context) -> Any:
    """Import the Celery app which ``--app`` names as ``module:attribute``, or as a module that has `app` or `celery`.

    As with ``celery -A``, the working directory is searched, too. Ends in wrong usage where there is none.
    """
    name = context.find_root().obj or DEFAULT_APP
    if not isinstance(name, str):
        return name  # the app itself, as a web framework's command gives it
    module_name, _, attribute = name.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    module, fault = None, "no Celery app is there"
    try:
        module = importlib.import_module(module_name)
    except AttuneTasksError:
        raise
    except ModuleNotFoundError as error:
        fault = f"there is no module {error.name!r}"
        if not f"{module_name}.".startswith(f"{error.name}."):
            fault += f" (imported at {place_of(error)})"
    except Exception as error:  # noqa: BLE001 - whatever their module raises; its text may quote a password
        fault = f"its import failed: {type(error).__name__} at {place_of(error)}"
    candidates = [attribute] if attribute else ["app", "celery"]
    found = [getattr(module, candidate) for candidate in candidates if hasattr(module, candidate)]
    if not found or not hasattr(found[0], "send_task"):
        msg = f"--app {name}: {fault}; expected MODULE:ATTR, as in project.celery:app"
        raise click.UsageError(msg)
    return found[0]


def name_of_app(context: click.Context) -> str:
    """Give the app's name for ``celery -A``, where another process is to import it.

    A web framework's command has the app itself: then it is looked for in the modules that are loaded. Ends in wrong
    usage where none has it, as where a function makes it.
    """
    named = context.find_root().obj or DEFAULT_APP
    if isinstance(named, str):
        return named
    for module_name, module in sorted(sys.modules.items()):
        for attribute in _USUAL_NAMES:
            if getattr(module, "__dict__", {}).get(attribute) is named and module_name != "__main__":
                return f"{module_name}:{attribute}"
    msg = "no module has this Celery app by a usual name: type `attune-tasks -A MODULE:ATTR leak-check --self-test`"
    raise click.UsageError(msg)


def show_warnings(loaded: LoadedSettings) -> None:
    """Say on standard error which secrets stand in variables."""
    for warning in loaded.warnings:
        complain(f"warning: {warning}")
