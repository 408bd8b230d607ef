"""The packs that the settings name. Needs nothing that only POSIX has: a client on any system checks with them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from attune_tasks.errors import InvalidReferenceError, PackError
from attune_tasks.packs import PackRegistry
from attune_tasks.plugins import PluginGroup
from attune_tasks.secrets import parse_reference
from attune_tasks.settings import LoadedSettings, Settings

__all__ = ["CANARY_PACK", "CONTROL_PACK", "LEAK_PACKS", "load_packs"]

CANARY_PACK: Final = "leak_check"
CONTROL_PACK: Final = "leak_controls"
LEAK_PACKS: Final = (CANARY_PACK, CONTROL_PACK)
"""The packs that come with leak-check. The second one leaks on purpose."""

_FOLDER: Final = Path(__file__).parent / "_bundled" / "leak_packs"


def load_packs(loaded: LoadedSettings) -> PackRegistry:
    """Load the packs that the settings name. A folder that is only the default may be missing.

    Raises PackError with all faults of all packs.
    """
    registry = PackRegistry.load(
        (*loaded.settings.packs, *_leak_packs(loaded.settings)),
        runtimes=PluginGroup("attune_tasks.runtimes", "runtime").names(),
        missing_ok=loaded.origins["packs"] == "default",
    )
    if problems := list(_wrong_references(registry, loaded.settings.secrets.provider)):
        raise PackError(problems=problems)
    return registry


def _leak_packs(settings: Settings) -> Iterator[Path]:
    """Give the folders of leak-check's own packs, which are there by setting only."""
    if settings.leak_check.enabled:
        yield _FOLDER / CANARY_PACK
        if settings.leak_check.controls:
            yield _FOLDER / CONTROL_PACK


def _wrong_references(registry: PackRegistry, default_provider: str) -> Iterator[str]:
    """Look at what packs can't: they know nothing of secret references."""
    for action in registry.actions:
        texts = [(f"secrets.{name}", declared.ref) for name, declared in action.secrets.items()]
        for name, parameter in action.schema.secret_parameters.items():
            texts += [(f"parameters.{name}.allow", text) for text in parameter.allow]
        for key, text in texts:
            try:
                parse_reference(text, default_provider=default_provider)
            except InvalidReferenceError as error:
                yield f"{action.source}: {key}: {error}"
