"""Parameters as text: in variables, and in the three formats of ``parameter_delivery: stdin``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attune_tasks.context import ParameterFormat
from attune_tasks.errors import InvalidParametersError
from attune_tasks.wire_names import dotenv_name, is_variable_text

__all__ = ["format_parameters", "variable_text"]


def variable_text(name: str, value: object) -> str:
    """Give a string as it is, anything else as JSON.

    Raises InvalidParametersError, naming the parameter `name`, for a text that neither a variable nor a shell carries.
    """
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if not is_variable_text(text):
        msg = f"the parameter {name!r} holds a NUL or a lone surrogate, which no environment variable can carry"
        raise InvalidParametersError(msg)
    return text


def format_parameters(parameters: Mapping[str, Any], parameter_format: ParameterFormat) -> bytes:
    """Give the bytes that follow the secrets' line.

    ``json`` is one object and a newline; ``dotenv`` is a line ``name='text'`` each, quoted as POSIX shells read it,
    and each character that a shell's names lack as ``_``; ``yaml`` is one block mapping.
    """
    if parameter_format == "dotenv":
        lines = (f"{dotenv_name(name)}={_quoted(variable_text(name, value))}\n" for name, value in parameters.items())
        return "".join(lines).encode()
    if parameter_format == "yaml":
        import yaml

        text: str = yaml.safe_dump(dict(parameters), allow_unicode=True, sort_keys=False)
        return text.encode()
    return json.dumps(dict(parameters)).encode() + b"\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
