"""TOML and YAML files of secrets, read without ever quoting what is in them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

__all__ = ["ParseFailure", "parse_toml", "parse_yaml"]

_TOML_LINE: Final = re.compile(r"\(at line (\d+), column \d+\)$")


class ParseFailure(Exception):  # noqa: N818 - caught by the provider, which raises the error that users see
    """The file is not what it should be; the text says where, and quotes keys only."""


def parse_toml(content: bytes) -> dict[str, Mapping[str, object]]:
    """Read ``["billing/stripe"]`` tables. Raises ParseFailure with the line."""
    line = ""
    try:
        return _checked(tomllib.loads(_text(content)))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        found = _TOML_LINE.search(str(error))
        line = f" at line {found[1]}" if found else ""
    # Raised here, outside the handler: the parsers' own errors quote the text.
    msg = f'not valid TOML{line} (a path with / stands in quotes, as in ["billing/stripe"])'
    raise ParseFailure(msg)


def parse_yaml(content: bytes) -> dict[str, Mapping[str, object]]:
    """Read a mapping of mappings. Raises ParseFailure with the line.

    A plain scalar is taken as it is written: ``0123``, ``1.10``, ``yes`` and ``2026-01-01`` are text. Only null,
    true, false and whole numbers in their usual form keep their type, which no text form of theirs can lose.
    """
    import yaml

    line = ""
    try:
        loaded = yaml.load(_text(content), _yaml_loader())  # noqa: S506 - a SafeLoader with fewer types
        return _checked({} if loaded is None else loaded)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
    msg = f"not valid YAML{line} (tags other than YAML's own and keys given twice are refused)"
    raise ParseFailure(msg)


def _text(content: bytes) -> str:
    text = content.decode("utf-8", "surrogateescape")
    if text.isascii() or not any("\udc80" <= char <= "\udcff" for char in text):
        return text
    msg = "not UTF-8 text"
    raise ParseFailure(msg)


def _checked(loaded: object) -> dict[str, Mapping[str, object]]:
    if not isinstance(loaded, dict) or not all(isinstance(path, str) for path in loaded):
        msg = "expected paths as text at the top level, and beneath each its fields"
        raise ParseFailure(msg)
    for number, fields in enumerate(loaded.values(), 1):
        if not isinstance(fields, dict) or not all(isinstance(name, str) for name in fields):
            msg = f"top-level key number {number} is no path with named fields beneath it (names are text)"
            raise ParseFailure(msg)
    return loaded


@cache
def _yaml_loader() -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own way

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - as PyYAML calls it
            mapping = super().construct_mapping(node, deep)
            if len(mapping) < len(node.value):
                raise yaml.constructor.ConstructorError(None, None, "a key is given twice", node.start_mark)
            return mapping

    for tag, pattern, first in (
        ("null", r"^(?:null|~|)$", ["n", "~", ""]),
        ("bool", r"^(?:true|false)$", ["t", "f"]),
        ("int", r"^(?:0|-?[1-9][0-9]*)$", list("-0123456789")),
    ):
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), first)
    return Loader
