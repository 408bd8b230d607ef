"""The code blocks of README and docs, so that a test runs each of them.

A block is fenced by three backticks and named by a comment in the line before it: ``<!-- test: name -->``. A test in a
file ``test_docs*.py`` asks for it by ``block("name")``.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["PAGES", "ROOT", "Block", "all_blocks", "block"]

ROOT: Final = Path(__file__).parents[1]
PAGES: Final = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))

_NAME: Final = re.compile(r"<!-- test: ([a-z0-9-]+) -->")


class Block(NamedTuple):
    """One code block."""

    name: str
    """Empty where it has none."""
    language: str
    text: str
    place: str
    """``file:line``."""


@cache
def all_blocks() -> tuple[Block, ...]:
    """Read all blocks of all pages."""
    return tuple(found for page in PAGES for found in _blocks_of(page))


def block(name: str) -> str:
    """Give the text of one block."""
    (found,) = (each for each in all_blocks() if each.name == name)
    return found.text


def _blocks_of(page: Path) -> list[Block]:
    found = []
    lines = page.read_text(encoding="utf-8").splitlines()
    opened: int | None = None
    for number, line in enumerate(lines):
        if not line.lstrip().startswith("```"):
            continue
        if opened is None:
            opened = number
            continue
        name = _NAME.fullmatch(lines[opened - 1]) if opened else None
        text = "".join(f"{inner}\n" for inner in lines[opened + 1 : number])
        place = f"{page.relative_to(ROOT)}:{opened + 1}"
        found.append(Block(name[1] if name else "", lines[opened].strip("` "), text, place))
        opened = None
    assert opened is None, f"{page}: a block is not closed"
    return found
