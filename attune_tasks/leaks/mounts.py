"""File systems as /proc/self/mountinfo tells of them: where a walk over this machine's files must not go."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["Mounts", "mounts_of", "read_mounts"]

_MOUNTINFO: Final = Path("/proc/self/mountinfo")

_LOCAL: Final = frozenset(
    (
        *("bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "fuseblk", "hfsplus", "jfs", "msdos", "nilfs2"),
        *("ntfs3", "overlay", "ramfs", "reiserfs", "rootfs", "tmpfs", "ubifs", "udf", "vfat", "xfs", "zfs"),
    )
)
_NOTHING_CHANGES: Final = frozenset(("cramfs", "erofs", "iso9660", "romfs", "squashfs"))
_KERNEL: Final = frozenset(
    (
        *("autofs", "binder", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs"),
        *("efivarfs", "fusectl", "hugetlbfs", "mqueue", "nsfs", "proc", "pstore", "rpc_pipefs", "securityfs"),
        *("selinuxfs", "sysfs", "tracefs"),
    )
)
"""What they show is no file of anybody's; processes are looked at elsewhere."""
_IN_MEMORY: Final = frozenset(("ramfs", "tmpfs"))
_SHARED_MEMORY: Final = "/dev/shm"  # noqa: S108 - by its name
_OCTAL: Final = re.compile(r"\\([0-7]{3})")


class Mounts(NamedTuple):
    """What is mounted here."""

    skipped: frozenset[str]
    """Folders that a walk leaves out."""
    not_local: tuple[str, ...]
    """Those of them which may hold files of this machine's processes, as ``/mnt/share (nfs4)``."""
    in_memory: frozenset[int]
    """The ``st_dev`` of file systems where a file that is mapped changes with no change of its times."""


def mounts_of(text: str) -> Mounts:
    """Read what stands in ``/proc/self/mountinfo``: proc_pid_mountinfo(5)."""
    skipped = {"/proc", "/sys"}
    walked: set[str] = set()
    not_local: dict[str, str] = {}
    in_memory: set[int] = set()
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.partition(" ")[0]
        if len(fields) < 5:  # noqa: PLR2004 - the fifth is where it is mounted
            continue
        place = _OCTAL.sub(lambda match: chr(int(match[1], 8)), fields[4])
        skipped.discard(place)
        walked.discard(place)
        not_local.pop(place, None)  # the last one mounted there hides those before it
        if kind in _LOCAL:
            walked.add(place)
            if kind in _IN_MEMORY:
                major, _, minor = fields[2].partition(":")
                in_memory.add(os.makedev(int(major), int(minor)))
            continue
        skipped.add(place)
        if kind not in _KERNEL | _NOTHING_CHANGES:
            not_local[place] = f"{place} ({kind})"
    if "/dev" not in walked | skipped:
        skipped.add("/dev")
    skipped.discard(_SHARED_MEMORY)
    return Mounts(frozenset(skipped), tuple(not_local.values()), frozenset(in_memory))


def read_mounts() -> Mounts:
    """Give what is mounted now; where there is no /proc, nothing is known."""
    try:
        text = _MOUNTINFO.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        text = ""
    return mounts_of(text)
