"""Parameters from the command line: ``-p NAME=VALUE`` and ``--parameters``. No error here quotes a value."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from attune_tasks.errors import InvalidParametersError

if TYPE_CHECKING:
    from attune_tasks.packs import Action

__all__ = ["parameter_options", "read_parameters"]

_Command = TypeVar("_Command", bound=Callable[..., Any])


def parameter_options(command: _Command) -> _Command:
    """Give `command` the options ``-p`` and ``--parameters``, as `pairs` and `document`."""
    command = click.option(
        "--parameters",
        "document",
        metavar="JSON|@FILE|-",
        help="All parameters as one JSON object: as text, from a file, or from standard input.",
    )(command)
    return click.option(
        "-p",
        "pairs",
        metavar="NAME=VALUE",
        multiple=True,
        help="One parameter; wins over --parameters. JSON where the parameter's type is not string.",
    )(command)


def read_parameters(pairs: Iterable[str], document: str | None, action: Action | None) -> dict[str, Any]:
    """Put the parameters of one execution together. `action` is None where it is not known here.

    Raises click.UsageError for text that can't be read, InvalidParametersError for a name given twice.
    """
    parameters = _read_document(document) if document is not None else {}
    given: set[str] = set()
    for pair in pairs:
        name, mark, text = pair.partition("=")
        if not mark or not name:
            msg = "-p: expected NAME=VALUE"  # what was typed is not repeated: it may be a secret
            raise click.UsageError(msg)
        if name in given:
            msg = f"the parameter {name!r} is given twice by -p"
            raise InvalidParametersError(msg)
        given.add(name)
        parameters[name] = text if _takes_text(action, name) else _json_or_text(text)
    return parameters


def _takes_text(action: Action | None, name: str) -> bool:
    if action is None:
        return False
    if name in action.schema.secret_parameters:
        return True
    entry = action.schema.schema.get("properties", {}).get(name, {})
    kind = entry.get("type") if isinstance(entry, dict) else None
    return kind == "string" or (isinstance(kind, list) and "string" in kind)


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text


def _read_document(document: str) -> dict[str, Any]:
    if document == "-":
        if sys.stdin is None:
            msg = "--parameters -: standard input is closed"
            raise click.UsageError(msg)
        text, place = sys.stdin.read(), "standard input"
    elif document.startswith("@"):
        path, place = Path(document[1:]), document[1:]
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            msg = f"--parameters: {path} can't be read: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}"
            raise click.UsageError(msg) from None
    else:
        text, place = document, "the text"
    fault = ""
    try:
        value = json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        fault = f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
    except (ValueError, RecursionError):
        fault = "is not JSON"
    else:
        fault = "" if isinstance(value, dict) else "is not a JSON object"
    if fault:
        msg = f"--parameters: {place} {fault}"
        raise click.UsageError(msg)
    return dict(value)


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity are Python's, not JSON's
