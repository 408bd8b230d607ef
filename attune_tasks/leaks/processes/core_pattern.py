"""Where the kernel puts core dumps, and which process one is of: core(5)."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

__all__ = ["CRASH_FOLDERS", "CorePattern", "numbers_in", "parse_core_pattern", "pid_of_core", "read_core_pattern"]

CRASH_FOLDERS: Final = ("/var/lib/systemd/coredump", "/var/crash", "/var/lib/apport/coredump")
"""Where the usual programs put what is piped to them."""
_KERNEL: Final = Path("/proc/sys/kernel")
_PIDS: Final = frozenset("pPiI")
_ELF_HEADER: Final = 64
_PROGRAM_HEADER: Final = 56
_NOTES_AT_MOST: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class CorePattern:
    """What ``kernel.core_pattern`` says."""

    program: str
    """To which program cores are piped, or which socket they are sent to; ```` where they become files."""
    folder: str
    """Absolute, or below that of the process; of one that differs by process, the part that does not."""
    folder_varies: bool
    names: re.Pattern[str]
    """Matches what a file is called in its folder; its groups are pids."""

    @property
    def is_absolute(self) -> bool:
        """Say whether all files stand in one folder, or below it."""
        return self.folder.startswith("/")


def read_core_pattern() -> CorePattern | None:
    """Give what is in force; None where it can't be read, or there are no dumps at all."""
    try:
        text = (_KERNEL / "core_pattern").read_text().strip()
        uses_pid = (_KERNEL / "core_uses_pid").read_text().strip() != "0"
    except OSError:
        return None
    return parse_core_pattern(text, uses_pid=uses_pid)


def parse_core_pattern(text: str, *, uses_pid: bool) -> CorePattern | None:
    """Take up a pattern."""
    if text.startswith(("|", "@")):
        words = text[1:].split()
        return CorePattern(words[0] if words else "?", "", False, re.compile(r".+"))  # noqa: FBT003 - a field
    if not text and not uses_pid:
        return None
    folder, slash, name = text.rpartition("/")
    fixed = re.split(r"[^/]*%", folder, maxsplit=1)[0]
    wild = _expression(name)
    if uses_pid and "%p" not in name:
        wild += r"(?:\.(\d+))?"
    if slash and text.startswith("/"):
        fixed = fixed or "/"
    return CorePattern("", fixed, "%" in folder, re.compile(wild))


def _expression(name: str) -> str:
    pieces, position = [], 0
    for match in re.finditer(r"%(.?)", name):
        pieces.append(re.escape(name[position : match.start()]))
        letter = match[1]
        pieces.append(r"(\d+)" if letter in _PIDS and letter else "%" if letter == "%" else ".*?" if letter else "")
        position = match.end()
    return "".join([*pieces, re.escape(name[position:])])


def pid_of_core(file: BinaryIO) -> int | None:
    """Give the pid that a core dump says it is of; 0 for one that does not say, None for what is none."""
    header = file.read(_ELF_HEADER)
    if len(header) < _ELF_HEADER or header[:4] != b"\x7fELF":
        return None
    order = "<" if header[5] == 1 else ">"
    (kind,) = struct.unpack_from(order + "H", header, 16)
    if kind != 4:  # noqa: PLR2004 - ET_CORE
        return None
    if header[4] != 2:  # noqa: PLR2004 - ELFCLASS64
        return 0
    (at,) = struct.unpack_from(order + "Q", header, 32)
    (count,) = struct.unpack_from(order + "H", header, 56)
    file.seek(at)
    programs = file.read(_PROGRAM_HEADER * count)
    for place in range(0, len(programs) - _PROGRAM_HEADER + 1, _PROGRAM_HEADER):
        kind, _, offset, _, _, size = struct.unpack_from(order + "IIQQQQ", programs, place)
        if kind == 4:  # noqa: PLR2004 - PT_NOTE
            file.seek(offset)
            return _pid_in(file.read(min(size, _NOTES_AT_MOST)), order)
    return 0


def _pid_in(notes: bytes, order: str) -> int:
    place = 0
    while place + 12 <= len(notes):
        name, size, kind = struct.unpack_from(order + "III", notes, place)
        place += 12 + (name + 3) // 4 * 4
        if kind == 3 and place + 28 <= len(notes):  # noqa: PLR2004 - NT_PRPSINFO: 16 bytes, two ids, then the pid
            return int(struct.unpack_from(order + "i", notes, place + 24)[0])
        place += (size + 3) // 4 * 4
    return 0


def numbers_in(name: str) -> Sequence[int]:
    """Give the numbers in a file's name: one of them is the pid, where a program has given it."""
    return [int(number) for number in re.findall(r"\d+", os.fsdecode(name))]
