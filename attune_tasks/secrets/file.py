"""The secret provider ``file``: one TOML or YAML file, readable by its owner alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from attune_tasks.errors import SecretsUnavailableError, SettingsError
from attune_tasks.nearest import nearest
from attune_tasks.private_file import NotPrivateError, read_private
from attune_tasks.secret_values import HiddenMapping, SecretBytes
from attune_tasks.secrets.file_formats import ParseFailure, parse_toml, parse_yaml
from attune_tasks.secrets.references import SecretReference

__all__ = ["FileSecretProvider"]

_PARSERS: Final = {".toml": parse_toml, ".yaml": parse_yaml, ".yml": parse_yaml}


class FileSecretProvider:
    """Reads secrets from a file, which is read anew each time. A top-level key is a path; the fields stand beneath it.

    The file is refused unless its mode gives nothing to group and others and it belongs to this process's user. A
    symlink is followed (mounted secrets are often symlinks); what counts is the file that it leads to.
    """

    name = "file"
    keeps_deadline = True  # a local read: where the disk hangs, the worker hangs with it anyway

    def __init__(self, path: Path) -> None:
        """Read from `path`: ``.toml``, ``.yaml`` or ``.yml``. Raises SettingsError for any other suffix."""
        if path.suffix not in _PARSERS:
            msg = f"secrets.file.path: {path} ends with none of {', '.join(_PARSERS)}"
            raise SettingsError(msg)
        self._path = path
        self._parsed: tuple[bytes, HiddenMapping[Mapping[str, object]]] = (b"", HiddenMapping())
        """What the file held last, and what that means: it is read and checked each time, parsed when it changed."""

    @classmethod
    def from_settings(cls, options: Mapping[str, Any]) -> FileSecretProvider:
        """Make one from ``secrets.file``. Raises SettingsError where no path is set."""
        path = options.get("path")
        if path is None:
            msg = "secrets.file.path is not set: name the TOML or YAML file which holds the secrets"
            raise SettingsError(msg)
        return cls(Path(path))

    def read(self, reference: SecretReference, *, deadline: float) -> Mapping[str, object]:  # noqa: ARG002 - a local file needs none
        """Give the fields under the top-level key `reference.path`.

        Raises SecretsUnavailableError where the file can't be used or has no such key.
        """
        if reference.options:
            msg = f"the provider file knows no options: leave out {', '.join(reference.options)} after the ?"
            raise SecretsUnavailableError(msg)
        paths = self._load()
        if reference.path in paths:
            return paths[reference.path]
        near = nearest(reference.path, paths)
        hint = f"; did you mean {near!r}?" if near else ""
        msg = f"{self._path} has no top-level key {reference.path!r}{hint}"
        raise SecretsUnavailableError(msg)

    def describe(self) -> str:
        """Name the file and count its paths. Raises SecretsUnavailableError where it can't be used."""
        count = len(self._load())
        return f"file: {self._path} with {count} {'path' if count == 1 else 'paths'}"

    def _load(self) -> HiddenMapping[Mapping[str, object]]:
        content = self._read_private()
        parsed_content, parsed = self._parsed
        if content == parsed_content:
            return parsed
        failure = ""
        try:
            parsed = HiddenMapping(_PARSERS[self._path.suffix](content))
            self._parsed = (content, parsed)  # one assignment: threads see both or neither
            return parsed  # noqa: TRY300 - the try is about the parsing
        except ParseFailure as error:
            failure = str(error)
        msg = f"{self._path}: {failure}"
        raise SecretsUnavailableError(msg)

    def _read_private(self) -> SecretBytes:
        try:
            return SecretBytes(read_private(self._path))
        except NotPrivateError as error:
            msg = f"{error}; see secrets.file.path"
        raise SecretsUnavailableError(msg)
