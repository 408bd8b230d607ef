"""Secret references: where a secret lives, written as text that is itself no secret."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NoReturn
from urllib.parse import unquote

from attune_tasks.errors import InvalidReferenceError

__all__ = ["Location", "SecretReference", "parse_reference"]

Location = tuple[str, bool, str, tuple[tuple[str, str], ...]]

_SCHEME: Final = re.compile(r"([a-z][a-z0-9_+.-]*)://")
_OPTION: Final = re.compile(r"([a-z][a-z0-9_]*)=([A-Za-z0-9_.:-]+)")
_FORMS: Final = "write `vault://<mount>/<path>#<field>`, or `<path>#<field>` for the default provider"


@dataclass(frozen=True, slots=True)
class SecretReference:
    """One secret's place. `str()` gives its canonical text."""

    provider: str
    path: str
    """With a scheme: all that stands after it (Vault's mount is the first part). Without: the path alone."""
    field: str
    """Empty for the whole secret, as JSON text."""
    scheme_given: bool = False
    options: Mapping[str, str] = dataclasses.field(default_factory=dict, hash=False)
    """What stood after ``?``, as in ``billing/stripe?version=3#api_key``."""

    @property
    def location(self) -> Location:
        """The key of one read, which serves every field there.

        Whether a scheme was given is part of it: the same path means another place with a mount and without.
        """
        return self.provider, self.scheme_given, self.path, tuple(sorted(self.options.items()))

    def __str__(self) -> str:
        """Give the canonical text: options in order of their names, the provider only where it was given."""
        scheme = f"{self.provider}://" if self.scheme_given else ""
        options = "&".join(f"{name}={value}" for name, value in sorted(self.options.items()))
        return f"{scheme}{self.path}{'?' if options else ''}{options}#{self.field}"


@lru_cache(maxsize=1024)
def parse_reference(text: str, *, default_provider: str) -> SecretReference:
    """Read ``vault://<mount>/<path>#<field>`` or ``<path>#<field>``, either with ``?name=value&…`` before the ``#``.

    Raises InvalidReferenceError, which never quotes `text`: it may be a secret that was put here by mistake.
    """
    if not isinstance(text, str):
        _refuse(f"it is {type(text).__name__}, not text")
    if not text.isprintable():
        _refuse("it holds a control character or another one that can't be printed")
    place, mark, field_name = text.partition("#")
    if not mark:
        _refuse("it has no # before the field")
    scheme = _SCHEME.match(place)
    if scheme:
        place = place[scheme.end() :]
    elif "://" in place:
        _refuse("what stands before :// is no provider's name (lower case, beginning with a letter)")
    path, query_mark, query = place.partition("?")
    _check_path(path)
    return SecretReference(
        provider=scheme[1] if scheme else default_provider,
        path=path,
        field=field_name,
        scheme_given=scheme is not None,
        options=_options(query) if query_mark else {},
    )


def _check_path(path: str) -> None:
    if not path:
        _refuse("its path is empty")
    if path != path.strip():
        _refuse("its path begins or ends with a space")
    # Percent signs are undone first: HTTP clients do that too, and would then follow the dots.
    for segment in unquote(path).split("/"):
        if not segment:
            _refuse("its path has an empty part: two slashes in a row, or one at an end")
        if segment in {".", ".."}:
            _refuse("its path has a part that is `.` or `..`")


def _options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in query.split("&"):
        option = _OPTION.fullmatch(part)
        if option is None:
            _refuse("what stands after ? is not of the form name=value")
        if option[1] in options:
            _refuse("what stands after ? gives one name twice")
        options[option[1]] = option[2]
    return options


def _refuse(reason: str) -> NoReturn:
    msg = f"not a secret reference: {reason}; {_FORMS}"
    raise InvalidReferenceError(msg)
