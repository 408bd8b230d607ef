"""Hooks of mkdocs: pages and files from outside docs/ come along, and links lead to them as they do on GitHub.

A link from a page in docs/ to ``../SECURITY.md`` or ``../config/attune-tasks.toml`` works on GitHub. In the site, what
such links lead to, and what is linked from there, stands below ``project/``.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, InclusionLevel

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).resolve().parents[1]
DOCS: Final = ROOT / "docs"
PROJECT: Final = "project"
ALWAYS: Final = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")

_FENCE: Final = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"(\[[^\]]*\]\()([^)\s#:]+)((?:#[^)\s]*)?\))")
_TEST: Final = re.compile(r"^<!-- (?:test|generated|end|measured)\b[^>]*-->\n", re.MULTILINE)
_INCLUDE: Final = re.compile(r"^<!-- include: (\S+) -->$", re.MULTILINE)
_FETCHED: Final = re.compile(r"<(?:script|img|link|iframe|source|video)\b[^>]* (?:src|href)=[\"']?(?:https?:)?//[^>]*>")
_CELL: Final = re.compile(r"<td.*?</td>", re.DOTALL)
_CODE: Final = re.compile(r"(?<=<code>)[^<]+(?=</code>)")
_PART_END: Final = re.compile(r"((?<=\w)[_./:]+)(?=\w)")
_ROLE: Final = re.compile(r":(?:attr|class|data|exc|func|meth|mod):(?=<code>)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is linked from outside docs/, and what is linked from there."""
    waiting = [ROOT / name for name in ALWAYS]
    waiting += [target for page in DOCS.rglob("*.md") for target in _targets(page)]
    seen: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path in seen or path.is_relative_to(DOCS):
            continue
        seen.add(path)
        added = File.generated(config, _site_path(path), abs_src_path=str(path), inclusion=InclusionLevel.NOT_IN_NAV)
        files.append(added)
        if path.suffix == ".md":
            waiting += _targets(path)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - the hook's signature
    """Leave out comments for the tests, include files, and turn links to where things stand in the site."""
    origin = Path(page.file.abs_src_path or "")
    markdown = _INCLUDE.sub(lambda found: _fenced(ROOT / found[1]), _TEST.sub("", markdown))

    def turned(found: re.Match[str]) -> str:
        target = (origin.parent / found[2]).resolve()
        if not target.is_file() or not target.is_relative_to(ROOT):
            return found[0]  # mkdocs says what is wrong with it
        here = posixpath.dirname(page.file.src_uri)
        return f"{found[1]}{posixpath.relpath(_site_path(target), here or '.')}{found[3]}"

    parts = _FENCE.split(markdown)
    return "".join(part if part.startswith("```") else _LINK.sub(turned, part) for part in parts)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - the same
    """Leave out the roles of docstrings, which stand before code; let long names in tables break at their parts."""
    html = _ROLE.sub("", html)
    return _CELL.sub(lambda cell: _CODE.sub(lambda code: _PART_END.sub(r"\1<wbr>", code[0]), cell[0]), html)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:  # noqa: ARG001 - the same
    """End the build where a page would fetch something of another host."""
    if found := _FETCHED.search(output):
        msg = f"{page.file.src_uri}: a reader's browser would ask another host: {found[0]}"
        raise PluginError(msg)
    return output


def _targets(page: Path) -> Iterator[Path]:
    """Give the files that a page links."""
    for _, name, _ in _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        target = (page.parent / name).resolve()
        if target.is_file() and target.is_relative_to(ROOT):
            yield target


def _site_path(path: Path) -> str:
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS).as_posix()
    return f"{PROJECT}/{path.relative_to(ROOT).as_posix()}"


def _fenced(path: Path) -> str:
    return f"```{path.suffix[1:]}\n{path.read_text(encoding='utf-8').rstrip()}\n```"
