"""What docs/settings.md and docs/commands.md say is made from the settings' model and the command line themselves.

``make reference`` writes it; a test sees that it is what is there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
from pydantic import BaseModel

from attune_tasks.cli import main
from attune_tasks.settings import Settings
from tests.docs_blocks import ROOT

__all__ = ["generated", "written"]

_DOCS: Final = ROOT / "docs"
_PART: Final = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL)
_REF: Final = re.compile(r"\b(REF|DIR)\b")
_MARKED: Final = re.compile(
    r"(?<![\w`])(-A|-f|--\w[\w-]*|[A-Z]+_ID|`[^`]+`|SECRET_<NAME>|https?://[^\s;,)]+\w|vault://\S+canary)(?![\w`])"
)


def generated(name: str) -> str:
    """Give what a page says: ``settings`` or ``commands``."""
    return "".join({"settings": _settings, "commands": _commands}[name]())


def written(name: str) -> str:
    """Give what stands in the page."""
    (found,) = (part for part in _PART.finditer((_DOCS / f"{name}.md").read_text(encoding="utf-8")) if part[2] == name)
    return found[0].removeprefix(found[1]).removesuffix(found[3])


def _settings() -> Iterator[str]:
    yield "\n| setting | default | what it is |\n| --- | --- | --- |\n"
    for name, default, description in _leaves(Settings, ""):
        yield f"| `{name}` | {default} | {_cell(description)} |\n"
    yield "\n"


def _leaves(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, str]]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _leaves(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _default(field.default), field.description or ""


def _default(value: Any) -> str:
    if value in (None, (), {}):
        return "none"
    plain = [str(each) for each in value] if isinstance(value, tuple) else value
    return f"`{json.dumps(plain)}`"


def _commands() -> Iterator[str]:
    yield "\n"
    context = click.Context(main, info_name="attune-tasks")
    yield from _command(context, "## ")
    for each in _below(context):
        yield from _command(each, "## ")


def _below(context: click.Context) -> Iterator[click.Context]:
    group = context.command
    assert isinstance(group, click.Group)
    for name in group.commands:
        inner = click.Context(group.commands[name], info_name=name, parent=context)
        if isinstance(inner.command, click.Group):
            yield from _below(inner)
        else:
            yield inner


def _command(context: click.Context, heading: str) -> Iterator[str]:
    pieces = " ".join(context.command.collect_usage_pieces(context))
    yield f"{heading}{context.command_path}\n\n`{context.command_path} {pieces}`\n\n"
    text = (context.command.help or "").strip()
    for paragraph in text.split("\n\n"):
        yield f"{_cell(' '.join(paragraph.split()))}\n\n"
    shown = [each for each in context.command.get_params(context) if isinstance(each, click.Option)]
    rows = [option.get_help_record(context) for option in shown]
    options = [row for row in rows if row is not None and not row[0].endswith("--help")]
    if options:
        yield "| option | what it does |\n| --- | --- |\n"
        for flags, described in options:
            yield f"| {_flags(flags)} | {_cell(' '.join(described.split()))} |\n"
        yield "\n"


def _flags(text: str) -> str:
    """Set an option as code. A stroke in it ends a cell for some, whatever stands before it: it is spelt out."""
    return f"<code>{text.replace('|', '&#124;')}</code>" if "|" in text else f"`{text}`"


def _cell(text: str) -> str:
    """Set names of options and the like as code, so that no sign of theirs is Markdown."""
    marked = _MARKED.sub(lambda found: found[0] if found[0].startswith("`") else f"`{found[0]}`", text)
    escaped = "".join(
        part if part.startswith("`") else re.sub(r"([*<|])", r"\\\1", part) for part in re.split(r"(`[^`]*`)", marked)
    )
    return _REF.sub(r"`\1`", escaped)


def _write(page: Path, name: str) -> None:
    text = page.read_text(encoding="utf-8")
    page.write_text(_PART.sub(lambda found: f"{found[1]}{generated(name)}{found[3]}", text), encoding="utf-8")


if __name__ == "__main__":
    for _name in ("settings", "commands"):
        _write(_DOCS / f"{_name}.md", _name)
