"""Walks over folders, what is read of files, and which file systems are left out."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from attune_tasks.leaks import Findings, Row, ValueSeeker, Watched
from attune_tasks.leaks.execution_trees import ExecutionTrees
from attune_tasks.leaks.file_bytes import read_file
from attune_tasks.leaks.file_search import FileSearch, Spent
from attune_tasks.leaks.mounts import mounts_of, read_mounts
from attune_tasks.leaks.walking import Entry, Walk
from tests.waiting import wait_until

VALUE = "the-value-of-a-canary-71c0"
MIB = 1 << 20


def seen(walk: Walk, seconds: float = 10.0) -> set[str]:
    return {Path(entry.path).name for entry in walk.step(time.monotonic() + seconds)}


@pytest.fixture
def old(tmp_path: Path) -> int:
    """Fill a folder, and give a moment after that."""
    for number in range(20):
        folder = tmp_path / f"folder{number}" / "within"
        folder.mkdir(parents=True)
        (folder / f"old{number}").touch()
    now = max(path.lstat().st_ctime_ns for path in tmp_path.rglob("*"))
    wait_until(lambda: _tick(tmp_path) > now, "the same")
    return now + 1


def _tick(folder: Path) -> int:
    """Give what time a file gets now; the file is beside the folder."""
    probe = folder.with_name(f"{folder.name}-probe")
    probe.touch()
    return probe.stat().st_ctime_ns


def test_only_what_has_changed_is_given(old: int, tmp_path: Path) -> None:
    walk = Walk(old)
    walk.add(str(tmp_path))
    assert seen(walk) == set()
    (tmp_path / "folder3" / "within" / "new").touch()
    os.utime(tmp_path / "folder4" / "within" / "old4", (0, 0))
    (tmp_path / "folder5" / "within" / "old5").rename(tmp_path / "folder5" / "renamed")
    (tmp_path / "link").symlink_to("folder0")
    assert seen(walk) - {"within", "folder5"} == {"new", "old4", "renamed", "link"}
    everything = Walk(old, everything=True)
    everything.add(str(tmp_path))
    assert {f"old{number}" for number in range(20) if number != 5} <= seen(everything)


def test_folders_that_changed_are_looked_at_in_every_step_however_long_a_pass_takes(old: int, tmp_path: Path) -> None:
    walk = Walk(old)
    walk.add(str(tmp_path))
    assert seen(walk) == set()
    (tmp_path / "folder3" / "within" / "new").touch()
    assert "new" in seen(walk)
    walk.begin_pass()
    (tmp_path / "folder3" / "within" / "newer").touch()
    found = walk.step(time.monotonic() + 10)
    assert any(Path(entry.path).name == "newer" for entry in found)
    assert list(walk.waiting) == [str(tmp_path)], "the pass has not gone on before that"


def test_what_is_left_when_the_time_is_over_waits(old: int, tmp_path: Path) -> None:
    walk = Walk(old)
    walk.add(str(tmp_path))
    walk.begin_pass()
    assert seen(walk, seconds=0) == set()
    assert list(walk.waiting) == [str(tmp_path)]
    assert walk.slowest_pass > 0, "it takes that long already"
    seen(walk)
    assert (list(walk.waiting), walk.listed) == ([], {str(tmp_path)})
    assert walk.slowest_pass == walk.slowest_pass > 0, "it is over"


def test_folders_that_are_skipped_and_links_are_not_gone_into(old: int, tmp_path: Path) -> None:
    walk = Walk(old, {str(tmp_path / "folder3")})
    walk.add(str(tmp_path / "gone"))
    walk.add(str(tmp_path))
    for number in (3, 4):
        (tmp_path / f"folder{number}" / f"new{number}").touch()
    (tmp_path / "loop").symlink_to(tmp_path)
    assert {"new4", "loop"} <= seen(walk)
    assert "new3" not in seen(walk)
    assert walk.listed == {str(tmp_path)}


def test_a_file_is_read_whole_or_its_beginning_and_end(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"begin" + b"." * 100 + b"end")
    whole = read_file(str(path), 108)
    assert whole
    assert (whole.pieces[0], whole.is_whole) == (path.read_bytes(), True)
    part = read_file(str(path), 10)
    assert part
    assert (part.pieces[:2], part.is_whole) == ((b"begin", b"..end"), False)


def test_nothing_but_a_regular_file_is_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = os.open(tmp_path / "pipe", os.O_RDWR | os.O_NONBLOCK)
    os.write(writer, b"for its reader")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "file").touch()
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
        for path in (tmp_path / "pipe", tmp_path / "socket", tmp_path, tmp_path / "link", Path("/dev/zero")):
            assert read_file(str(path), 10) is None, path
    assert os.read(writer, 100) == b"for its reader"
    os.close(writer)


class Searching:
    """A search in a folder, whose files are handed to it one by one."""

    def __init__(self, folder: Path, *sources: Path) -> None:
        """Make the search."""
        self.folder = folder
        seeker = ValueSeeker()
        seeker.add(7, {"token": VALUE})
        self.findings = Findings("files", seeker)
        self.search = FileSearch(self.findings, ExecutionTrees(seeker), sources, read_mounts().in_memory)

    def look(self, *names: str, per_file: int = MIB, total: int = MIB) -> None:
        """Look at files."""
        spent = Spent(per_file, total)
        for name in names:
            path = self.folder / name
            self.search.look_at(Entry(str(path), path.lstat()), spent)

    def row(self) -> Row:
        """Give what came of it."""
        self.search.tell()
        (row,) = self.findings.rows([Watched(7, "t", "python")])
        assert VALUE not in repr(row)
        return row

    def places(self) -> list[str]:
        """Give where it was found."""
        return [hit.where.replace(str(self.folder), "") for hit in self.row().hits]


def test_contents_names_and_what_links_lead_to_are_searched(tmp_path: Path) -> None:
    searching = Searching(tmp_path)
    (tmp_path / "content").write_text(f"password={VALUE}")
    (tmp_path / VALUE).mkdir()
    (tmp_path / "link").symlink_to(f"/run/{VALUE}")
    (tmp_path / "honest").write_text("password=")
    searching.look("content", VALUE, "link", "honest")
    assert searching.places() == ["/content", "the name of a file in : ***", "where the link /link leads"]


def test_what_stands_in_extended_attributes_is_searched(tmp_path: Path) -> None:
    searching = Searching(tmp_path)
    (tmp_path / "file").write_text("nothing")
    os.setxattr(tmp_path / "file", "user.token", VALUE.encode())
    searching.look("file")
    assert searching.places() == ["/file"]


def test_a_file_is_searched_again_when_it_changes(tmp_path: Path) -> None:
    searching = Searching(tmp_path)
    (tmp_path / "file").write_text("nothing")
    searching.look("file")
    (tmp_path / "file").write_text(VALUE[:7])
    searching.look("file")
    assert searching.row().verdict == "clean"
    (tmp_path / "file").write_text(VALUE)
    searching.look("file")
    assert searching.places() == ["/file"]


def test_a_large_file_is_searched_whole_when_more_may_be_read_of_it(tmp_path: Path) -> None:
    searching = Searching(tmp_path)
    (tmp_path / "large").write_text("." * 500 + VALUE + "." * 500)
    searching.look("large", per_file=100)
    assert searching.row().verdict == "clean"
    assert "only their beginning and end" in searching.row().why
    searching.look("large")
    assert searching.places() == ["/large"]


def test_what_there_were_no_bytes_left_for_is_said_and_comes_later(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"{name} {VALUE}")
    searching = Searching(tmp_path)
    searching.look("one", "two", total=10)
    assert searching.places() == ["/one"]
    assert "no bytes were left" in searching.row().why
    later = Searching(tmp_path)
    later.look("one", "two", total=10)
    later.look("two")
    assert later.places() == ["/one", "/two"]
    assert later.row().why == ""


def test_the_source_of_the_secrets_is_spared_and_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "secrets.toml").write_text(VALUE)
    (tmp_path / "copy").write_text(VALUE)
    (tmp_path / "alias").symlink_to(tmp_path)
    searching = Searching(tmp_path, tmp_path / "alias" / "secrets.toml")
    searching.look("secrets.toml", "copy")
    assert searching.places() == ["/copy"]
    assert searching.row().why == f"left out, for that is where the secrets come from ({tmp_path}/secrets.toml)"


MOUNTINFO = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
24 27 0:6 / /dev rw,relatime - devtmpfs devtmpfs rw
25 24 0:23 / /dev/shm rw,relatime - tmpfs tmpfs rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 27 0:40 / /mnt/my\\040share rw - nfs4 server:/share rw
31 27 0:41 / /home/me/remote rw - fuse.sshfs me@there: rw
32 27 7:1 / /snap/core ro - squashfs /dev/loop1 ro
33 27 0:42 / /srv rw - nfs4 server:/srv rw
34 33 8:1 / /srv rw - xfs /dev/sda1 rw
"""


def test_what_is_not_on_this_machine_is_left_out_and_said() -> None:
    mounts = mounts_of(MOUNTINFO)
    assert mounts.skipped == {"/proc", "/sys", "/dev", "/mnt/my share", "/home/me/remote", "/snap/core"}
    assert mounts.not_local == ("/mnt/my share (nfs4)", "/home/me/remote (fuse.sshfs)")
    assert mounts.in_memory == {os.makedev(0, 23)}
    assert "/proc" in read_mounts().skipped
    assert mounts_of("").skipped == {"/proc", "/sys", "/dev"}
