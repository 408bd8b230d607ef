"""The places that settings come from, each read into one plain nested dictionary: a layer."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError as UndecodableError

from attune_tasks.nearest import did_you_mean
from attune_tasks.settings.model import Settings
from attune_tasks.settings.url_files import URL_FILES

__all__ = ["CONFIG_VARIABLE", "DEFAULT_FILE", "PREFIX", "Layer", "read_toml", "read_variables", "with_paths"]

PREFIX: Final = "ATTUNE_TASKS_"
CONFIG_VARIABLE: Final = PREFIX + "CONFIG"
DEFAULT_FILE: Final = "attune-tasks.toml"

_NOT_SETTINGS: Final = frozenset({CONFIG_VARIABLE, PREFIX + "APP"})
_PATHS: Final = frozenset({"path", "token_file", "secret_id_file", "ca_file", "client_cert", "client_key"})
_FILES: Final = frozenset({"message_key_file", "health_file", *URL_FILES})
_TEST_PREFIX: Final = PREFIX + "TEST_"
_TOML_LINE: Final = re.compile(r"\(at line (\d+), ")


class Layer(NamedTuple):
    """What one place says."""

    values: Mapping[str, Any]
    origin: str
    """The place, as a person calls it."""


class _Variables(BaseSettings, Settings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__")


class _OneVariable(EnvSettingsSource):
    """pydantic-settings' reading of one given variable."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(_Variables)
        self.env_vars = {name.lower(): text}


def read_variables(environ: Mapping[str, str], problems: list[str]) -> Iterator[Layer]:
    """Give a layer for each variable that sets something, the more specific ones last; `problems` gets the rest."""
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name.startswith(_TEST_PREFIX) or name in _NOT_SETTINGS:
            continue
        if name == PREFIX + "PACKS" and not environ[name].startswith("["):
            folders = [folder for folder in environ[name].split(os.pathsep) if folder]
            yield Layer({"packs": folders}, f"variable {name}")
            continue
        try:
            values = _OneVariable(name, environ[name])()
        except UndecodableError:
            problems.append(f"variable {name}: expected JSON")
            continue
        if values and name == name.upper():
            yield Layer(values, f"variable {name}")
        else:
            known = (PREFIX + field.upper() for field in Settings.model_fields)
            problems.append(f"variable {name}: unknown setting{did_you_mean(name, [*known, *_NOT_SETTINGS])}")


def read_toml(environ: Mapping[str, str], directory: Path, problems: list[str]) -> Layer | None:
    """Read the file that ATTUNE_TASKS_CONFIG names, else ``attune-tasks.toml`` in `directory`; None: there is none."""
    named = environ.get(CONFIG_VARIABLE)
    path = _absolute(named or DEFAULT_FILE, directory)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if named:
            problems.append(f"{path}: the file that {CONFIG_VARIABLE} names does not exist")
        return None
    except OSError as error:
        problems.append(f"{path}: can't be read: {error.strerror}")
        return None
    except UnicodeDecodeError:
        problems.append(f"{path}: is not UTF-8 text")
        return None
    except tomllib.TOMLDecodeError as error:  # its text may quote the file's
        line = _TOML_LINE.search(str(error))
        problems.append(f"{path}{':' + line[1] if line else ''}: is not TOML")
        return None
    return Layer(with_paths(values, path.parent), str(path))


def with_paths(values: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """Make the paths in a layer absolute, from `base`; ``~`` is the home folder. The layer itself is not changed."""
    values = dict(values)
    packs = values.get("packs")
    if isinstance(packs, (list, tuple)):
        values["packs"] = [_absolute(folder, base) for folder in packs]
    for name in _FILES & values.keys():
        values[name] = _absolute(values[name], base)
    if isinstance(values.get("secrets"), Mapping):
        values["secrets"] = {
            name: _with_absolute(group, base) if name in {"file", "vault"} else group
            for name, group in values["secrets"].items()
        }
    return values


def _with_absolute(group: Any, base: Path) -> Any:
    """Make the paths in a group of settings, and in the groups within it, absolute."""
    if not isinstance(group, Mapping):
        return group  # refused by the model, later
    return {
        # A mapping may be a mount that is called `path`.
        name: _absolute(value, base)
        if name in _PATHS and not isinstance(value, Mapping)
        else _with_absolute(value, base)
        for name, value in group.items()
    }


def _absolute(path: Any, base: Path) -> Any:
    if not isinstance(path, (str, os.PathLike)):
        return path  # refused by the model, later
    return Path(os.path.abspath(base / os.path.expanduser(path)))  # noqa: PTH100, PTH111 - an unknown ~user is kept, links too
