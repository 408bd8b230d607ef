"""What is left where a worker's process and its launcher were killed at once: nobody is above it who would end it.

The launcher would have taken it down with itself, and the worker's process what the launcher left. What is left after
both is recognised, and nothing but that is touched: a fork of a launcher has the launcher's command line, in which
stands whose it was; what was executed has the execution's id in its environment. So nothing falls to Celery's main
process, where it could not be told from what other tasks have started.
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from attune_tasks.process._launcher import attune_tree
from attune_tasks.process._launcher.attune_folder import remove_folder

__all__ = ["end_abandoned", "mark_of"]

_WORKER: Final = secrets.token_hex(8)
"""The same in a worker's main process and in all that are forked from it."""
_FOLDER: Final = re.compile("attune-[0-9a-f]{16}")
_PARENT: Final = 1  # in what attune_tree.stat_of() gives
_SECONDS: Final = 2.0
_PAUSE: Final = 0.005


def mark_of(pid: int) -> str:
    """Give the word in the command line of the launchers of this worker's process `pid`, and of their forks."""
    return f"of-{_WORKER}-{pid}"


def end_abandoned(pid: int, execution_id: int, seconds: float = _SECONDS) -> int:
    """Kill what an execution in this worker's process `pid`, which has ended, has left; give how many that were.

    It takes as long as looking at all processes does, twice, and at most `seconds` more. Private folders in which they
    stand are removed. Nothing is done where a process can't be held by a descriptor (Linux 5.3): it is no child, so its
    number might be another's by then.
    """
    # A number that is taken again may be that of another slot, whose launchers have the same mark.
    if not hasattr(signal, "pidfd_send_signal") or _lives(pid):
        return 0
    ours = _recognise(mark_of(pid).encode(), b"ATTUNE_EXEC_ID=%d" % execution_id)
    held: dict[int, int] = {}
    deadline = time.monotonic() + seconds
    try:
        # As attune_tree.kill does it: stopped first, for what is stopped does not fork.
        while _hold(held, ours) and time.monotonic() < deadline:
            pass
        folders = {folder for number in held if (folder := _private_folder(number))}
        for descriptor in held.values():
            _send(descriptor, signal.SIGKILL)
        while any(map(_lives, held)) and time.monotonic() < deadline:
            time.sleep(_PAUSE)
        for folder in folders:
            remove_folder(folder)
    finally:
        for descriptor in held.values():
            os.close(descriptor)
    return len(held)


def _hold(held: dict[int, int], ours: Callable[[int], bool]) -> bool:
    """Stop and hold all that is recognised, and what is below that; give whether there was something new."""
    found = [pid for pid in _all_pids() if pid not in held and ours(pid)]
    below = {child for pid in (*held, *found) for child in attune_tree.children_of(pid)}
    new = False
    for pid in filter(_lives, {*found, *below} - held.keys()):
        try:
            descriptor = os.pidfd_open(pid)
        except OSError:
            continue
        # It can't become another's from here on; but it might have, before.
        if not (ours(pid) or _parent(pid) in held) or not _send(descriptor, signal.SIGSTOP):
            os.close(descriptor)
            continue
        held[pid] = descriptor
        new = True
    return new


def _recognise(mark: bytes, variable: bytes) -> Callable[[int], bool]:
    def ours(pid: int) -> bool:
        if _has(pid, "cmdline", mark):
            return True
        # The same execution may run elsewhere, where a broker has delivered its message twice.
        return _has(pid, "environ", variable) and not _is_below_another_launcher(pid, mark)

    return ours


def _is_below_another_launcher(pid: int, mark: bytes) -> bool:
    while pid > 1:
        if b"/attune_launcher.py\0" in _read(pid, "cmdline") and not _has(pid, "cmdline", mark):
            return True
        pid = _parent(pid)
    return False


def _private_folder(pid: int) -> str | None:
    """Give the private folder that a process stands in, if it does and the folder is its user's."""
    with suppress(OSError):
        path = os.readlink(f"/proc/{pid}/cwd")  # noqa: PTH115 - text
        parent, _, name = path.rpartition("/")
        if parent == tempfile.gettempdir() and _FOLDER.fullmatch(name):
            return path if os.lstat(path).st_uid == attune_tree.owner_of(pid) else None
    return None


def _has(pid: int, file: str, word: bytes) -> bool:
    text = _read(pid, file)
    return word in text and word in text.split(b"\0")


def _read(pid: int, file: str) -> bytes:
    try:
        with open(f"/proc/{pid}/{file}", "rb", buffering=0) as opened:  # noqa: PTH123 - of all processes: half the time
            return opened.readall()
    except OSError:  # it has ended, or is another user's
        return b""


def _parent(pid: int) -> int:
    stat = attune_tree.stat_of(pid)
    return int(stat[_PARENT]) if stat else 0


def _lives(pid: int) -> bool:
    stat = attune_tree.stat_of(pid)
    return stat is not None and stat[0] not in "ZX"


def _all_pids() -> list[int]:
    me = os.getpid()
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != me]  # noqa: PTH208 - cheaper


def _send(descriptor: int, number: signal.Signals) -> bool:
    with suppress(OSError):  # it has ended, or may not be signalled
        signal.pidfd_send_signal(descriptor, number)
        return True
    return False
