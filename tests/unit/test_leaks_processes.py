"""The pieces of leak-check's surfaces of processes: what is read, of whom, and what is told of it."""

from __future__ import annotations

import io
import os
import re
import secrets as random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from attune_tasks import proc
from attune_tasks.leaks import Findings, Row, Surface, ValueSeeker, Watched
from attune_tasks.leaks.canaries import make_short_canary
from attune_tasks.leaks.processes import cores, memories, process_surfaces, views
from attune_tasks.leaks.processes.core_pattern import (
    CorePattern,
    parse_core_pattern,
    pid_of_core,
    read_core_pattern,
)
from attune_tasks.leaks.processes.cores import CoreFiles
from attune_tasks.leaks.processes.memory import chunks_of
from attune_tasks.leaks.processes.ps import PsSurface
from attune_tasks.leaks.processes.reading_as import Itself, OtherUser, ReaderError, Reads
from attune_tasks.leaks.processes.tables import search_texts
from attune_tasks.leaks.processes.texts import KINDS, User, name_of, texts_of
from attune_tasks.leaks.processes.watching import Processes
from tests.processes import alive
from tests.waiting import wait_until

VALUE = f"v{random.token_hex(8)}"
_DEAR = 0.05
"""Seconds of processor time for one look at everything."""
ROOT = os.geteuid() == 0

SHOWS = [sys.executable, "-I", "-c", "import time; time.sleep(60)", VALUE]


@contextmanager
def started(argv: list[str], **more: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process and end it."""
    with subprocess.Popen(argv, **more) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def python(code: str, **more: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Start Python, and wait until it says a line."""
    more = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, **more}
    with started([sys.executable, "-I", "-c", code], **more) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process


def seeker_of(value: str = VALUE) -> ValueSeeker:
    seeker = ValueSeeker()
    seeker.add(7, {"token": value})
    return seeker


def rows_of(surface: Surface, watched: Watched, looks: int = 1) -> Row:
    surface.begin()
    for _ in range(looks):
        surface.look([watched])
    (row,) = surface.end([watched])
    return row


def surface_named(name: str, seeker: ValueSeeker) -> Surface:
    (found,) = [surface for surface in process_surfaces(seeker) if surface.name == name]
    return found


def test_a_tree_is_found_without_a_look_at_other_processes() -> None:
    with started(["bash", "-c", "sleep 60 & sleep 60 & wait"]) as process:
        wait_until(lambda: len(proc.children(process.pid)) == 2, "both children")
        found = proc.tree(os.getpid(), 100)
        assert {process.pid, *proc.children(process.pid)} <= set(found)
        assert sorted(proc.tree(process.pid, 100)) == sorted(each.pid for each in proc.below(process.pid))
        assert not set(proc.children(process.pid)) & set(proc.tree(os.getpid(), 100, {process.pid}))
        assert len(proc.tree(process.pid, 1)) == 1
        for pid in proc.children(process.pid):
            os.kill(pid, signal.SIGKILL)
    assert proc.children(process.pid) == []
    assert proc.started(process.pid) is None


READY = "import sys\nprint('ready', flush=True)\nsys.stdin.readline()"

PLANT = """
import mmap, sys
at, value = int(sys.stdin.readline()), bytes.fromhex(sys.stdin.readline())
kept = mmap.mmap(-1, 5 << 20)
for page in range(0, 5 << 20, 4096):
    kept[page] = 1
kept[at : at + len(value)] = value
del value
print("ready", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("at", [0, (1 << 20) - 8, (2 << 20) - 1, (3 << 20) + 5, (5 << 20) - 17])
def test_a_value_is_found_in_memory_also_across_two_chunks(at: int) -> None:
    seeker = seeker_of()
    with subprocess.Popen(
        [sys.executable, "-I", "-c", PLANT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        # Reversed on its way, so that it stands in no buffer as it is sought: the tie is the map alone.
        process.stdin.write(f"{at}\n{VALUE.encode().hex()}\n".encode())
        process.stdin.flush()
        assert process.stdout.readline() == b"ready\n"
        plain = [
            chunk.place
            for chunk in chunks_of(process.pid)
            if any(each.variant == "plain" for each in seeker.find(chunk.data))
        ]
        assert "anonymous" in plain or "/dev/zero (deleted)" in plain
        process.kill()
    assert list(chunks_of(process.pid)) == []


def test_pages_that_hold_nothing_are_not_read() -> None:
    code = "import mmap, sys\nkept = mmap.mmap(-1, 1 << 34, flags=0x22)\nkept[1 << 33] = 7\n"
    with python(f"{code}print('ready', flush=True)\nsys.stdin.readline()") as process:
        begin = time.monotonic()
        size = sum(len(chunk.data) for chunk in chunks_of(process.pid))
    assert size < 100 << 20, "16 GiB are mapped"
    assert time.monotonic() - begin < 10


def test_a_variable_is_named_only_where_its_name_is_no_part_of_the_value() -> None:
    value = f"{VALUE}=="
    findings = Findings("environ", seeker_of(value))
    with started(["/bin/sleep", "60"], env={"KEY": f"x{value}", VALUE: "=", "FINE": "1"}) as process:
        wait_until(lambda: name_of(process.pid) == "sleep", "exec")
        assert search_texts(findings, process.pid, texts_of(process.pid))
    (row,) = findings.rows([Watched(7, "t", "python")])
    places = sorted(hit.where.partition(", ")[2] for hit in row.hits)
    assert places == ["a variable", "variable KEY"]
    assert VALUE not in str(row)


def test_a_process_is_named_by_its_program_and_never_by_what_it_calls_itself() -> None:
    with python(
        f"import sys\nopen('/proc/self/comm', 'w').write({VALUE[:12]!r})\nprint('ready', flush=True)\ninput()"
    ) as p:
        assert name_of(p.pid).startswith("python")
        assert Path(f"/proc/{p.pid}/comm").read_text() == f"{VALUE[:12]}\n"


SHOWS_ALL = """
import mmap, sys
with open("mapped", "w+b") as file:
    file.write(bytes(mmap.PAGESIZE))
    file.flush()
    mapped = mmap.mmap(file.fileno(), 0)
held = open("held", "w")
with open("/proc/self/comm", "w") as name:
    name.write(value)
print("ready", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize(
    ("role", "told"),
    [("main_pid", "the main process"), ("pool_pid", "the pool process"), ("launcher_pid", "the launcher")],
)
def test_each_part_of_a_worker_is_searched_and_named(tmp_path: Path, role: str, told: str) -> None:
    value = make_short_canary()  # it fits into a process's name
    folder = tmp_path / value
    folder.mkdir()
    surfaces = [surface for surface in process_surfaces(seeker_of(value)) if surface.name in KINDS]
    with (
        python(f"value = {value!r}{SHOWS_ALL}", cwd=folder, env={"KEY": value}) as process,
        python(READY, cwd=tmp_path) as other,
    ):
        watched = Watched(7, "t", "shell", other.pid, other.pid, other.pid)
        setattr(watched, role, process.pid)
        for surface in surfaces:
            surface.begin()
            surface.look([watched])
        rows = {row.surface: row for surface in surfaces for row in surface.end([watched])}
    assert set(rows) == set(KINDS)
    for row in rows.values():
        assert row.verdict == "LEAK", row
        assert all(f"(pid {process.pid}, {told})" in hit.where for hit in row.hits), row
        assert any(hit.program.startswith(sys.executable) for hit in row.hits), row
        assert value not in str(row)


def test_what_has_left_its_tree_is_found_by_the_executions_id() -> None:
    processes = Processes()
    environment = {"ATTUNE_EXEC_ID": "7", "PATH": os.environ["PATH"]}
    # Three are found: this one leads nowhere that the walk could follow, for its parent has ended.
    with subprocess.Popen(
        ["bash", "-c", "setsid sleep 60 >/dev/null & echo $!"], env=environment, stdout=subprocess.PIPE
    ) as process:
        output, _ = process.communicate()
    pid = int(output)
    try:
        seen = processes.of("a surface", [Watched(7, "t", "shell")])
        assert [(each.pid, each.role) for each in seen] == [(pid, "action")]
        assert Processes().of("a surface", [Watched(8, "t", "shell")]) == []
    finally:
        os.kill(pid, signal.SIGKILL)


def test_one_look_is_shared_by_all_surfaces_and_the_next_is_another() -> None:
    processes = Processes()
    watched = Watched(7, "t", "shell")
    first = processes.of("a", [watched])
    assert processes.of("b", [watched]) is first
    assert processes.of("a", [watched]) is not first


def test_the_looking_process_and_its_children_are_not_looked_at() -> None:
    with started(SHOWS) as child:
        watched = Watched(7, "t", "shell", main_pid=os.getpid(), pool_pid=os.getpid())
        assert Processes().of("a", [watched]) == []
        row = rows_of(surface_named("command lines", seeker_of()), watched)
        assert (row.verdict, "no process of the action was seen" in row.why) == ("not looked at", True)
        watched.launcher_pid = child.pid
        assert rows_of(surface_named("command lines", seeker_of()), watched).verdict == "LEAK"


def test_a_value_that_becomes_known_later_is_found_in_what_has_not_changed() -> None:
    seeker = ValueSeeker()
    surface = surface_named("command lines", seeker)
    with started(SHOWS) as child:
        watched = Watched(7, "t", "shell", launcher_pid=child.pid)
        surface.begin()
        surface.look([watched])
        seeker.add(7, {"token": VALUE})
        (row,) = surface.end([watched])
    assert row.verdict == "LEAK"


def test_memory_is_gone_through_anew_for_each_execution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memories, "_FIRST_PAUSE", 1000.0)
    seeker = ValueSeeker()
    surface = surface_named("launcher memory", seeker)
    surface.begin()
    with python(f"import sys\nkept = {VALUE!r}\nprint('ready', flush=True)\nsys.stdin.readline()") as process:
        for execution_id in (6, 7):
            watched = Watched(execution_id, "t", f"runtime {execution_id}", launcher_pid=process.pid)
            before = time.monotonic()
            surface.look([watched])
            while surface._walks[process.pid].chunks is not None:  # type: ignore[attr-defined]
                surface.look([watched])
            assert before <= surface.gone_through[execution_id] <= time.monotonic()  # type: ignore[attr-defined]
            seeker.add(7, {"token": VALUE})
    rows = {row.runtime: row for row in surface.end([Watched(6, "t", "runtime 6"), Watched(7, "t", "runtime 7")])}
    assert (rows["runtime 6"].verdict, rows["runtime 6"].why) == ("clean", "")
    assert rows["runtime 7"].verdict == "LEAK"


def test_memory_for_which_there_was_time_at_the_end_only_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memories, "_SECONDS", 0.0)
    surface = surface_named("launcher memory", ValueSeeker())
    surface.begin()
    with python("import sys\nprint('ready', flush=True)\nsys.stdin.readline()") as process:
        watched = Watched(7, "t", "shell", launcher_pid=process.pid)
        for _ in range(3):
            surface.look([watched])
        (row,) = surface.end([watched])
    assert row.verdict == "clean"
    assert "at the end only" in row.why


def test_without_ps_or_with_another_one_the_row_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    row = rows_of(PsSurface(seeker_of()), Watched(7, "t", "shell"))
    assert (row.verdict, row.why) == ("not looked at", "there is no ps on the PATH: install procps")
    (tmp_path / "ps").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "ps").chmod(0o755)
    row = rows_of(PsSurface(seeker_of()), Watched(7, "t", "shell"))
    assert (row.verdict, "does not know `auxe`" in row.why) == ("not looked at", True)


def test_another_user_reads_what_is_its_own_and_no_memory_of_others() -> None:
    # As an ordinary user there is one reader only, and it is this process.
    reads: Reads
    whom: dict[str, Any]
    reads, whom = (
        (OtherUser(User(65534, 65534)), {"user": 65534, "group": 65534, "extra_groups": []}) if ROOT else (Itself(), {})
    )
    with (
        python("import sys\nprint('ready', flush=True)\nsys.stdin.readline()", env={"KEY": VALUE}) as of_root,
        started(["/bin/sleep", "60"], env={"KEY": VALUE}, **whom) as own,
    ):
        wait_until(lambda: name_of(own.pid) == "sleep", "exec")
        texts = reads.texts_of(own.pid)
        assert [piece.data for piece in texts["environ"] or ()] == [f"KEY={VALUE}".encode()]
        *memory, mark, said = reads.memory_of(own.pid)
        assert (mark, said) == (b"", b"whole")
        assert VALUE.encode() in b"".join(memory)
        if ROOT:
            texts = reads.texts_of(of_root.pid)
            assert texts["environ"] is texts["open files"] is texts["mapped files"] is None
            assert (texts["command lines"] or [])[1].data == b"-I"
            assert list(reads.memory_of(of_root.pid)) == [b"", b"denied"]
    assert reads.texts_of(own.pid).get("environ") is None
    reads.close()


def test_a_reader_that_was_killed_is_told_and_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "_BETWEEN", 0.0)
    surface = surface_named("seen by the same user", seeker_of())
    with started(SHOWS) as child:
        watched = Watched(7, "t", "shell", launcher_pid=child.pid)
        user = User(os.geteuid(), os.getegid())
        reader = OtherUser(user)
        surface._readers[user] = reader  # type: ignore[attr-defined]
        assert reader.texts_of(child.pid)["command lines"]
        reader._process.kill()
        reader._process.wait()
        with pytest.raises(ReaderError):
            reader.texts_of(child.pid)
        row = rows_of(surface, watched, looks=2)
    assert row.verdict == "LEAK"
    assert "the reader has ended" in row.why


@pytest.mark.parametrize(
    ("text", "uses_pid", "folder", "name", "pids"),
    [
        ("core", False, "", "core", []),
        ("core", True, "", "core.71", ["71"]),
        ("core.%e.%p", False, "", "core.bash.71", ["71"]),
        ("core.%p", True, "", "core.71", ["71"]),
        ("/var/cores/%e-%%-%t-%P.core", False, "/var/cores", "bash-%-1700000000-71.core", ["71"]),
        ("/core", False, "/", "core", []),
        ("/cores/%u/core", False, "/cores/", "core", []),
        ("dumps/core", False, "dumps", "core", []),
    ],
)
def test_a_core_pattern_tells_folder_and_name(
    *,
    text: str,
    uses_pid: bool,
    folder: str,
    name: str,
    pids: list[str],
) -> None:
    pattern = parse_core_pattern(text, uses_pid=uses_pid)
    assert pattern is not None
    assert (pattern.folder, pattern.program) == (folder, "")
    match = pattern.names.fullmatch(name)
    assert match is not None
    assert [group for group in match.groups() if group] == pids
    assert pattern.names.fullmatch(f"a{name}z") is None


def test_a_core_pattern_may_name_a_program_or_turn_dumps_off() -> None:
    piped = parse_core_pattern("|/usr/lib/systemd/systemd-coredump %P %u", uses_pid=False)
    assert piped is not None
    assert (piped.program, piped.is_absolute) == ("/usr/lib/systemd/systemd-coredump", False)
    assert parse_core_pattern("", uses_pid=False) is None


@pytest.mark.parametrize("data", [b"", b"no core at all" * 9, b"\x7fELF" + bytes(90)])
def test_what_is_no_core_is_told_from_one(data: bytes) -> None:
    assert pid_of_core(io.BytesIO(data)) is None


CRASH = "import resource, signal, os, sys\nresource.setrlimit(resource.RLIMIT_CORE, (-1, -1))\nos.abort()\n"


def crash(folder: Path) -> int:
    """Let a process crash in a folder of its own, with core dumps turned on; give its pid."""
    with subprocess.Popen([sys.executable, "-I", "-c", f"kept = {VALUE!r}\n{CRASH}"], cwd=folder) as process:
        assert process.wait() == -signal.SIGABRT
    return process.pid


@pytest.fixture
def to_files(monkeypatch: pytest.MonkeyPatch) -> CorePattern:
    """Give the pattern in force, which has to make files in a process's folder: that of a test can't be set."""
    pattern = read_core_pattern()
    if pattern is None or pattern.program or pattern.folder:
        pytest.fail("set kernel.core_pattern to `core` for this test: what the kernel writes is looked at")
    return pattern


def test_what_the_kernel_writes_is_a_core_that_tells_its_pid(tmp_path: Path, to_files: CorePattern) -> None:
    pid = crash(tmp_path)
    (path,) = [path for path in tmp_path.iterdir() if to_files.names.fullmatch(path.name)]
    with path.open("rb") as file:
        assert pid_of_core(file) == pid


def test_a_core_in_a_folder_of_the_executions_is_a_leak_and_an_old_one_is_not(
    tmp_path: Path, to_files: CorePattern
) -> None:
    for name in ("old", "new", "text"):
        (tmp_path / name).mkdir()
    crash(tmp_path / "old")
    for path in (tmp_path / "old").iterdir():
        os.utime(path, (1, 1))
    (tmp_path / "text" / "core").write_text("about the core of the matter\n")
    found = {}
    for name in ("old", "text", "new"):
        seeker = seeker_of()
        surface = CoreFiles(seeker, Processes())
        surface.begin()
        with started(["/bin/bash", "-c", "sleep 60; true"], cwd=tmp_path / name) as launcher:
            while not proc.children(launcher.pid):
                time.sleep(0.01)
            watched = Watched(7, "t", "shell", launcher_pid=launcher.pid)
            surface.look([watched])
            if name == "new":
                crash(tmp_path / "new")
            for pid in proc.children(launcher.pid):
                os.kill(pid, signal.SIGKILL)
        (found[name],) = surface.end([watched])
    assert [found[name].verdict for name in ("old", "text", "new")] == ["clean", "clean", "LEAK"]
    assert {hit.variant for hit in found["new"].hits} >= {"core dump", "plain"}
    assert all(re.match(r"core file of pid \d+: ", hit.where) for hit in found["new"].hits)


def test_cores_that_go_to_a_program_are_found_where_it_puts_them_or_not_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    piped = parse_core_pattern("|/usr/lib/collect %P", uses_pid=False)
    monkeypatch.setattr(cores, "read_core_pattern", lambda: piped)
    monkeypatch.setattr(cores, "CRASH_FOLDERS", (str(tmp_path / "absent"),))
    watched = Watched(7, "t", "shell")
    row = rows_of(CoreFiles(seeker_of(), Processes()), watched)
    assert row.verdict == "not looked at"
    assert "core dumps are given to /usr/lib/collect" in row.why
    monkeypatch.setattr(cores, "CRASH_FOLDERS", (str(tmp_path),))
    surface = CoreFiles(seeker_of(), Processes())
    surface.begin()
    with started(["/bin/sleep", "60"]) as process:
        watched.launcher_pid = process.pid
        surface.look([watched])
        (tmp_path / f"core.sleep.0.abc.{process.pid}.17.zst").write_bytes(b"compressed")
        (tmp_path / "core.other.0.abc.999999999.17.zst").write_bytes(b"compressed")
        surface.look([watched])
    (row,) = surface.end([watched])
    assert (row.verdict, len(row.hits)) == ("LEAK", 1)
    assert f"core file of pid {process.pid}" in row.hits[0].where
    assert "only what it leaves in" in row.why


def test_ten_looks_a_second_are_cheap() -> None:
    surfaces = process_surfaces(seeker_of())
    with started(["bash", "-c", "for i in {1..20}; do sleep 60 & done; wait"]) as launcher:
        wait_until(lambda: len(proc.children(launcher.pid)) == 20, "twenty processes")
        pids = proc.children(launcher.pid)
        watched = Watched(7, "t", "shell", os.getpid(), os.getpid(), launcher.pid)
        for surface in surfaces:
            surface.begin()
        spent = 1.0
        for _ in range(3):  # what others do on the same core makes looks dearer, too
            begin, looks = time.thread_time(), 0
            until = time.monotonic() + 2
            while time.monotonic() < until:
                for surface in surfaces:
                    surface.look([watched])
                looks += 1
                time.sleep(0.1)
            spent = min(spent, (time.thread_time() - begin) / looks)
            if spent < _DEAR:
                break
        for surface in surfaces:
            list(surface.end([watched]))
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
    assert spent < _DEAR, "20 ms on a machine that does nothing else"
    wait_until(lambda: not any(alive(pid) for pid in pids), "the end of all")
