"""``attune-tasks init``: a project to begin with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import click

from attune_tasks.cli.exits import USAGE
from attune_tasks.cli.group import complain
from attune_tasks.cli.shipped import config_folder

__all__ = ["init"]

_FILES: Final = (
    "attune-tasks.toml",
    "secrets.toml",
    "packs/hello/pack.yaml",
    "packs/hello/actions/greet.yaml",
    "packs/hello/actions/greet.py",
    "packs/hello/actions/backup.yaml",
    "packs/hello/actions/backup.sh",
    "tests/test_hello.py",
)
_PRIVATE: Final = "secrets.toml"
_TRY: Final = """
Try it:
  cd {folder}
  attune-tasks run hello.greet -p name=Ada
  pytest tests/test_hello.py
  celery -A attune_tasks.app worker              # in one terminal; needs no broker of its own
  attune-tasks enqueue hello.greet -p name=Ada --wait   # in another
"""


@click.command()
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(file_okay=False, path_type=Path))
@click.pass_context
def init(context: click.Context, folder: Path) -> None:
    """Write settings, example secrets, a pack of two actions and a test for them into DIR (default: here).

    Nothing is overwritten: where one of the files is there already, nothing is written at all.
    """
    source = config_folder()
    # lexists: a dangling link is something of the user's, too.
    taken = [name for name in _FILES if os.path.lexists(folder / name)]
    if taken:
        complain(f"nothing was written, for these are there already in {folder.absolute()}: {', '.join(taken)}")
        context.exit(USAGE)
    try:
        for name in _FILES:
            _write(folder / name, (source / name).read_bytes(), private=name == _PRIVATE)
        notice = _ignore_secrets(folder, (source / "gitignore").read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"{error.filename or folder}: {error.strerror}"
        raise click.ClickException(msg) from None
    for name in _FILES:
        click.echo(f"wrote {folder / name}")
    if notice:
        complain(notice)
    click.echo(_TRY.format(folder=folder))
    click.echo((source / "paste.md").read_text(encoding="utf-8"), nl=False)


def _write(path: Path, content: bytes, *, private: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, so that the mode holds from the first byte
        file.write(content)


def _ignore_secrets(folder: Path, lines: str) -> str | None:
    """Write a .gitignore; one that is there is its owner's: give what to tell them."""
    path = folder / ".gitignore"
    if not os.path.lexists(path):
        _write(path, lines.encode())
        return None
    if lines.strip() in path.read_text(encoding="utf-8", errors="replace").splitlines():
        return None
    return f"add this line to {path}, to keep secrets out of version control: {lines.strip()}"
