"""The memory of another process, as /proc/<pid>/mem shows it to who may read it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from attune_tasks.leaks.surface import OVERLAP

__all__ = ["Chunk", "chunks_of"]

_LINE: Final = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (....) \S+ \S+ (\d+) *(.*)")
_NOT_MEMORY: Final = frozenset({"[vvar]", "[vvar_vclock]", "[vdso]", "[vsyscall]"})
_CHUNK: Final = 1 << 20
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_ENTRIES: Final = 1 << 14
"""Pages asked for at once: 64 MiB of an address space that is mostly empty."""


class Chunk(NamedTuple):
    """A piece of memory; the next one begins with its end."""

    place: str
    """``heap``, ``stack``, a file's path, else ``anonymous``."""
    data: bytes


class _Region(NamedTuple):
    begin: int
    end: int
    place: str


def chunks_of(pid: int) -> Iterator[Chunk]:
    """Give what is in a process's memory, but for what it maps of files and can't change: that stands in these files.

    Raises PermissionError where it may not be read. It ends where the process does.
    """
    try:
        regions = list(_regions(pid))
        with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
            for region in regions:
                for begin, end in _in_use(pid, region):
                    yield from _read(memory.fileno(), region.place, begin, end)
    except (FileNotFoundError, ProcessLookupError):
        return


def _regions(pid: int) -> Iterator[_Region]:
    last: _Region | None = None
    for line in Path(f"/proc/{pid}/maps").read_text(errors="replace").splitlines():
        match = _LINE.match(line)
        if match is None or match[5] in _NOT_MEMORY:
            continue
        begin, end, inode, path = int(match[1], 16), int(match[2], 16), int(match[4]), match[5]
        if inode and "w" not in match[3]:
            continue
        if path.startswith("/dev/") and not path.startswith(("/dev/shm/", "/dev/zero")):  # noqa: S108 - to be read
            continue  # a device, which reading might set to work
        place = path.strip("[]") if path else "anonymous"
        if last is not None and last.end == begin:
            # A value may stand across the border of two, for these are one piece of memory to the process.
            last = _Region(last.begin, end, last.place)
            continue
        if last is not None:
            yield last
        last = _Region(begin, end, place)
    if last is not None:
        yield last


def _in_use(pid: int, region: _Region) -> Iterator[tuple[int, int]]:
    """Give the runs of pages that hold anything; the whole region where the kernel does not tell."""
    try:
        descriptor = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield region.begin, region.end
        return
    begin: int | None = None
    page = region.begin
    try:
        while page < region.end:
            wanted = min(_ENTRIES, (region.end - page) // _PAGE)
            entries = os.pread(descriptor, wanted * 8, page // _PAGE * 8)
            if not entries:
                break
            # The highest byte of an entry: bit 7 says that the page is there, bit 6 that it is swapped out.
            for high in entries[7::8] if sys.byteorder == "little" else entries[::8]:
                if high & 0xC0 and begin is None:
                    begin = page
                elif not high & 0xC0 and begin is not None:
                    yield begin, page
                    begin = None
                page += _PAGE
    except OSError:
        begin, page = region.begin, region.end
    finally:
        os.close(descriptor)
    if begin is not None:
        yield begin, page


def _read(memory: int, place: str, begin: int, end: int) -> Iterator[Chunk]:
    kept = b""
    position = begin
    while position < end:
        try:
            piece = os.pread(memory, min(_CHUNK, end - position), position)
        except (OverflowError, OSError) as error:
            if isinstance(error, PermissionError | ProcessLookupError):
                raise
            return  # it was given back, or is a device's
        if not piece:
            return
        yield Chunk(place, kept + piece)
        kept = (kept + piece)[-OVERLAP:]
        position += len(piece)
