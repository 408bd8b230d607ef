"""Parameters as text: in variables, and in the three formats of ``parameter_delivery: stdin``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attune_tasks.context import ParameterFormat

__all__ = ["as_text", "format_parameters"]


def as_text(value: object) -> str:
    """Give a string as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def format_parameters(parameters: Mapping[str, Any], parameter_format: ParameterFormat) -> bytes:
    """Give the bytes that follow the secrets' line.

    ``json`` is one object and a newline; ``dotenv`` is a line ``name='text'`` each, quoted as POSIX shells read it;
    ``yaml`` is one block mapping.
    """
    if parameter_format == "dotenv":
        lines = (f"{name}={_quoted(as_text(value))}\n" for name, value in parameters.items())
        return "".join(lines).encode(errors="surrogatepass")
    if parameter_format == "yaml":
        import yaml

        text: str = yaml.safe_dump(dict(parameters), allow_unicode=True, sort_keys=False)
        return text.encode()
    return json.dumps(dict(parameters)).encode() + b"\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
