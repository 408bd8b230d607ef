"""Output and progress as a terminal shows them, and as a pipe gets them."""

from __future__ import annotations

import io
import sys
import threading

import pytest

from attune_tasks.cli.live_sink import ViewSink
from attune_tasks.cli.live_view import LiveView
from attune_tasks.process import Batch, Piece, Progress
from tests.waiting import wait_until


class Terminal(io.StringIO):
    """A text stream that says that it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def a_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Be on a terminal from here on; in a fixture, pytest's own capturing would come after it."""
    made = Terminal()
    monkeypatch.setattr(sys, "stdout", made)
    monkeypatch.setattr(sys, "stderr", made)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return made


def screen(written: str) -> str:
    """Give what a terminal would show: a carriage return and an erased line, and no colours."""
    shown = written.replace("\x1b[36m", "").replace("\x1b[0m", "")
    lines = [line.rpartition("\r\x1b[K")[2] for line in shown.split("\n")]
    return "\n".join(lines)


def test_the_bar_stands_below_the_output_and_is_gone_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = a_terminal(monkeypatch)
    view = LiveView()
    view.output("stdout", "one\n")
    view.progress(40.0, "copying")
    assert screen(terminal.getvalue()) == "one\n" + "█" * 8 + "░" * 12 + "  40%  copying"
    view.output("stdout", "two")
    assert screen(terminal.getvalue()) == "one\ntwo"
    view.output("stdout", " goes on\n")
    view.progress(100.0, "bad \x1b[2J\nend")
    assert screen(terminal.getvalue()) == "one\ntwo goes on\n" + "█" * 20 + " 100%  bad  [2J end"
    view.close()
    assert screen(terminal.getvalue()) == "one\ntwo goes on\n"
    assert "\x1b[36m" in terminal.getvalue()


def test_no_color_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = a_terminal(monkeypatch)
    monkeypatch.setenv("NO_COLOR", "1")
    view = LiveView()
    view.progress(40.0, "")
    assert "40%" in terminal.getvalue()
    assert "\x1b[3" not in terminal.getvalue()


def test_without_a_terminal_each_step_is_a_line_and_nothing_moves(capsys: pytest.CaptureFixture[str]) -> None:
    view = LiveView()
    view.progress(1.5, "a")
    view.progress(1.5, "a")
    view.output("stdout", "one\ntw", 12)
    view.output("stderr", "err")
    view.close()
    shown = capsys.readouterr()
    assert shown.out == "one\ntw\n"
    assert shown.err == (
        "attune-tasks: 1.5% a\nattune-tasks: 12 bytes are left out here, more than can be followed\nerr\n"
    )


def test_a_terminal_that_takes_nothing_keeps_nobody_waiting_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    view = LiveView()
    stuck, shown = threading.Event(), []

    def output(stream: str, text: str, dropped: int = 0) -> None:
        stuck.wait(20)
        shown.append((stream, text, dropped))

    monkeypatch.setattr(view, "output", output)
    sink = ViewSink(view, 100)
    assert sink.ready()
    sink.send(Batch((Piece("stdout", "1"),)))
    assert not sink.ready()
    stuck.set()
    wait_until(sink.ready, "the batch is shown")
    sink.finish(Batch((Piece("stdout", "2"),)))
    sink.close()
    assert shown == [("stdout", "1", 0), ("stdout", "2", 0)]


def test_a_reader_that_went_away_is_told_at_the_end_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    view = LiveView()

    def output(*_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(view, "output", output)
    sink = ViewSink(view, 100)
    sink.finish(Batch((Piece("stdout", "1"),), Progress(1.0)))
    with pytest.raises(BrokenPipeError):
        sink.close()
