"""What an action says while it runs, on a person's terminal: its output as it is, and a bar for its progress."""

from __future__ import annotations

import os
import shutil
import sys
from typing import Any, Final

import click

from attune_tasks.cli.group import complain

__all__ = ["LiveView"]

_BAR_CELLS: Final = 20
_CLEAR: Final = "\r\x1b[K"


class LiveView:
    """Shows output on the stream that it was written to, and progress on standard error.

    Where standard error is a terminal, progress is a bar in its last line; where it is not, each step is a line.
    """

    def __init__(self) -> None:
        """Show nothing yet."""
        self._is_terminal = sys.stderr.isatty()
        self._colours = self._is_terminal and not os.environ.get("NO_COLOR")
        self._progress: tuple[float, str] | None = None
        self._bar_stands = False
        self._line_is_open = {"stdout": False, "stderr": False}
        """Whether a stream is in the midst of a line; the bar waits for the end of one that the terminal shows."""
        self._on_terminal = [name for name in self._line_is_open if getattr(sys, name).isatty()]
        self.has_shown_output = False

    def output(self, stream: str, text: str, dropped: int = 0) -> None:
        """Show output of ``stdout`` or ``stderr``, of which `dropped` bytes are missing in front."""
        self._clear()
        if dropped:
            if self._line_is_open[stream]:
                self._write(stream, "\n")
            complain(f"{dropped} bytes are left out here, more than can be followed")
        if text:
            self._write(stream, text)
        self.has_shown_output = True
        self._draw()

    def progress(self, percent: float, message: str) -> None:
        """Show how far it is."""
        line = "".join(character if character.isprintable() else " " for character in message)
        if (percent, line) == self._progress:
            return
        self._progress = percent, line
        if self._is_terminal:
            self._clear()
            self._draw()
        else:
            complain(f"{percent:g}% {line}".rstrip())

    def close(self) -> None:
        """Take the bar away, and end a line that is open."""
        self._clear()
        self._progress = None
        for stream, is_open in self._line_is_open.items():
            if is_open:
                self._write(stream, "\n")

    def _write(self, stream: str, text: str) -> None:
        click.echo(text, nl=False, err=stream == "stderr")
        self._line_is_open[stream] = not text.endswith("\n")

    def _clear(self) -> None:
        if self._bar_stands:
            click.echo(_CLEAR, nl=False, err=True, color=True)
            self._bar_stands = False

    def _draw(self) -> None:
        if (
            self._progress is None
            or not self._is_terminal
            or any(self._line_is_open[name] for name in self._on_terminal)
        ):
            return
        percent, message = self._progress
        line = f"{_bar(percent)} {percent:3.0f}%  {message}"[: shutil.get_terminal_size().columns - 1]
        self._bar_stands = True  # before it does: who is interrupted between the two clears it
        click.echo(click.style(line, fg="cyan") if self._colours else line, nl=False, err=True, color=self._colours)


def _bar(percent: float) -> str:
    """Give the bar as click draws it; where it stands, this module decides: output goes on between its steps."""
    made: Any = click.progressbar(length=100, width=_BAR_CELLS, fill_char="█", empty_char="░", file=sys.stderr)
    made.pos = int(percent)
    return str(made.format_bar())
