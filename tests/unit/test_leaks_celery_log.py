"""The surface "log" reads what is added to a worker's log files, and takes records that are fed to it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from attune_tasks._celery.leaks.log import LogSurface
from attune_tasks.leaks import Row, ValueSeeker, Watched
from attune_tasks.leaks.canaries import make_short_canary
from tests.ordinary import OrdinaryUser

VALUE = make_short_canary()
WAITS = "import sys; print('ready', flush=True); sys.stdin.read()"
OPENS = f"f = open('own.log', 'a'); {WAITS}"


@contextmanager
def process(folder: Path, code: str, *arguments: str, stderr: Path | None = None) -> Iterator[int]:
    """Run something that has log files, and give its pid."""
    with (
        (stderr or folder / "stderr.log").open("ab") as log,
        subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        ) as running,
    ):
        assert running.stdout
        running.stdout.readline()
        yield running.pid
        running.communicate()


def surface(pid: int = 0) -> LogSurface:
    seeker = ValueSeeker()
    seeker.add(1, {"token": VALUE})
    return LogSurface(seeker, pid)


def watched(pid: int = 0) -> list[Watched]:
    return [Watched(1, "task", "python", main_pid=pid)]


def row_of(log: LogSurface, executions: Sequence[Watched]) -> Row:
    (row,) = log.end(executions)
    assert VALUE not in repr(row)
    return row


def add(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


@pytest.mark.parametrize(
    ("code", "arguments", "name"),
    [
        (WAITS, (), "stderr.log"),
        (OPENS, (), "own.log"),
        (WAITS, ("--logfile=named.log",), "named.log"),
        (WAITS, ("-f", "named.log"), "named.log"),
    ],
)
def test_what_is_added_to_a_log_file_is_found(tmp_path: Path, code: str, arguments: tuple[str, ...], name: str) -> None:
    add(tmp_path / name, "before\n")
    with process(tmp_path, code, *arguments) as pid:
        log = surface(pid)
        log.begin()
        log.look(watched(pid))
        add(tmp_path / name, f"a line with {VALUE[:5]}")
        log.look(watched(pid))
        add(tmp_path / name, f"{VALUE[5:]} in two pieces\n")
        row = row_of(log, watched(pid))
    assert row.verdict == "LEAK"
    assert [hit.where for hit in row.hits] == [f"log file {tmp_path / name}"]


def test_what_was_there_before_is_not_searched(tmp_path: Path) -> None:
    add(tmp_path / "stderr.log", f"long ago: {VALUE}\n")
    with process(tmp_path, WAITS) as pid:
        log = surface(pid)
        log.begin()
        add(tmp_path / "stderr.log", "harmless\n")
        row = row_of(log, watched(pid))
    assert (row.verdict, row.why) == ("clean", "only what the worker's own log level lets through")


def test_a_file_that_begins_while_it_is_watched_is_found(tmp_path: Path) -> None:
    with process(tmp_path, WAITS, "--logfile=later.log") as pid:
        log = surface(pid)
        log.begin()
        log.look(watched(pid))
        add(tmp_path / "later.log", f"first line: {VALUE}\n")
        assert row_of(log, watched(pid)).verdict == "LEAK"


def test_records_that_are_fed_are_found_from_any_thread() -> None:
    log = surface()
    log.begin()
    threads = [
        threading.Thread(target=log.feed, args=(f"record {number}".encode(), "main process")) for number in range(20)
    ]
    threads.append(threading.Thread(target=log.feed, args=(f"DEBUG {VALUE}".encode(), "pool process 71")))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    row = row_of(log, watched())
    assert row.verdict == "LEAK"
    assert [hit.where for hit in row.hits] == ["log record of the pool process 71"]


def test_harmless_records_are_clean() -> None:
    log = surface()
    log.feed(b"Task received", "main process")
    assert (row := row_of(log, watched())).verdict == "clean"
    assert row.why == ""


def test_without_a_file_and_without_records_it_is_not_looked_at() -> None:
    row = row_of(surface(), watched())
    assert row.verdict == "not looked at"
    assert "--logfile" in row.why


def test_an_ordinary_user_can_not_look_at_the_log_of_another(ordinary_user: OrdinaryUser, tmp_path: Path) -> None:
    code = """
import sys
from attune_tasks._celery.leaks.log import LogSurface
from attune_tasks.leaks import ValueSeeker, Watched
log = LogSurface(ValueSeeker(), int(sys.argv[1]))
log.begin()
(row,) = log.end([Watched(1, "task", "python", main_pid=int(sys.argv[1]))])
print(row.verdict, row.why)
"""
    if os.geteuid():
        pytest.fail("this needs root: another user's process is looked at")
    with process(tmp_path, WAITS) as pid:
        said = ordinary_user.run(code.replace("sys.argv[1]", repr(str(pid))))
    assert said.startswith("not looked at the worker's log is no file that can be read here")
    assert "start the worker as root" in said


def test_a_form_too_long_to_be_found_in_pieces_is_said_of_a_log_file(tmp_path: Path) -> None:
    log = surface()
    log._findings.seeker.add(1, {"long": "a1b2c3d4" * 8000})  # type: ignore[attr-defined]
    with process(tmp_path, WAITS) as pid:
        log.begin()
        log.look(watched(pid))
    # It has ended by now, and has no command line any more.
    assert "longer than 256 KiB" in row_of(log, watched(pid)).why
