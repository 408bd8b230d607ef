"""Putting the layers of settings together, and saying where each value came from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

from pydantic import ValidationError

from attune_tasks.errors import SettingsError
from attune_tasks.expectations import expectation
from attune_tasks.nearest import did_you_mean
from attune_tasks.settings.framework import framework_settings
from attune_tasks.settings.masking import mask_setting
from attune_tasks.settings.model import Settings

__all__ = ["LoadedSettings", "load_settings"]

_Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """The settings in force."""

    settings: Settings
    origins: Mapping[str, str]
    """Where each value came from, by its dotted name: ``argument``, ``variable ATTUNE_TASKS_X``,
    ``app.conf.attune_tasks``, the TOML file's path, or ``default``."""
    warnings: tuple[str, ...] = ()
    """One line for each secret that stands in a variable."""

    def masked(self) -> dict[str, Any]:
        """Give the settings as a nested dictionary of plain types for printing, each password as ``***``."""
        return {name: mask_setting(name, value) for name, value in self.settings.model_dump().items()}


def load_settings(
    *,
    overrides: Mapping[str, Any] | None = None,
    app_settings: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> LoadedSettings:
    """Read the settings: `overrides`, then variables, then `app_settings`, then a web framework's, then TOML, then the
    defaults.

    Mappings merge by key, those of the stronger place first; lists replace. Relative paths start at the TOML file's
    folder, or at `directory` (default: the working directory). `environ` is ``os.environ`` by default. Raises
    SettingsError with all faults at once; it quotes no value.
    """
    from attune_tasks.settings.sources import Layer, read_toml, read_variables, with_paths
    from attune_tasks.settings.url_files import urls_from_files

    environ = os.environ if environ is None else environ
    try:
        directory = (directory or Path()).absolute()
    except FileNotFoundError:
        msg = "the working directory has been deleted: change to another one"
        raise SettingsError(msg) from None
    problems: list[str] = []
    layers = [Layer({"packs": list(Settings().packs)}, "default")]
    toml = read_toml(environ, directory, problems)
    layers += [toml] if toml else []
    layers += [Layer(values, origin) for values, origin in framework_settings()]
    layers += [Layer(app_settings or {}, "app.conf.attune_tasks"), *read_variables(environ, problems)]
    layers.append(Layer(overrides or {}, "argument"))
    merged: Mapping[str, Any] = {}
    origins: dict[_Key, str] = {}
    for values, origin in layers:
        if not isinstance(values, Mapping):
            problems.append(f"{origin}: expected a mapping")
            continue
        anchored = with_paths(values, directory)
        for said, where in [(anchored, origin), *urls_from_files(anchored, origin, problems)]:
            merged = _merge(merged, said)
            for key, _ in _leaves(said):
                for stale in [old for old in origins if old[: len(key)] == key or key[: len(old)] == old]:
                    del origins[stale]
                origins[key] = where
    settings, faults = _validated(merged, origins)
    problems += faults
    if problems or settings is None:
        raise SettingsError(problems=problems)
    in_force = dict(_leaves(settings.model_dump()))
    return LoadedSettings(
        settings,
        MappingProxyType({".".join(key): origins.get(key, "default") for key in in_force}),
        _warnings(in_force, origins),
    )


def _merge(weak: Mapping[str, Any], strong: Mapping[str, Any]) -> dict[str, Any]:
    # The strong keys come first: the order of `routes` counts.
    return {
        key: _merge(weak[key], value) if isinstance(value, Mapping) and isinstance(weak.get(key), Mapping) else value
        for key, value in strong.items()
    } | {key: value for key, value in weak.items() if key not in strong}


def _leaves(values: Mapping[str, Any], key: _Key = ()) -> Iterator[tuple[_Key, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, (*key, str(name)))
        else:
            yield (*key, str(name)), value


def _validated(merged: Mapping[str, Any], origins: Mapping[_Key, str]) -> tuple[Settings | None, list[str]]:
    try:
        return Settings.model_validate(merged), []
    except ValidationError as error:
        errors = error.errors(include_url=False)
    return None, [_fault(error, origins) for error in errors]


def _fault(error: Mapping[str, Any], origins: Mapping[_Key, str]) -> str:
    key = tuple(str(part) for part in error["loc"] if part != "[key]")
    origin = next((where for old, where in origins.items() if old[: len(key)] == key or key[: len(old)] == old), "")
    text = expectation(error)
    if error["type"] == "extra_forbidden":
        text = f"unknown setting{did_you_mean(key[-1], _names_at(key[:-1]))}"
    return f"{origin}: {'.'.join(key)}: {text}"


def _names_at(key: _Key) -> list[str]:
    group: Any = Settings
    for part in key:
        # Under a mapping of groups, the part is a name that the user gave.
        group = group.model_fields[part].annotation if hasattr(group, "model_fields") else get_args(group)[1]
    return list(group.model_fields)


def _warnings(in_force: Mapping[_Key, Any], origins: Mapping[_Key, str]) -> tuple[str, ...]:
    exposed = {
        origins[key]: None
        for key, value in in_force.items()
        if origins.get(key, "").startswith("variable ")
        and isinstance(value, str)
        and mask_setting(key[-1], value, closed=bool({"options", "runtimes"} & set(key))) != value
    }
    return tuple(
        f"{origin} holds a secret, which every program started with this environment can read:"
        " move it to a TOML file of mode 0600"
        for origin in exposed
    )
