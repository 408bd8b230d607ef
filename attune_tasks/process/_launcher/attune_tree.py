"""Ends whole trees of processes. It runs in the launcher, which loads nothing but the stdlib, and in the worker.

A process that is not reaped keeps its number, and one that is stopped neither forks nor reaps. So a tree is stopped
from the top downwards until two walks find nothing new, and only then killed: no number is another's by then, and a
tree that forks faster than it is killed is outrun.
"""

import os
import time

_SIGTERM, _SIGKILL, _SIGCONT, _SIGSTOP = 15, 9, 18, 19  # Linux, signal(7); `signal` itself loads enum
if os.uname().sysname == "Darwin":
    _SIGCONT, _SIGSTOP = 19, 17
_LINUX_LIST = "/proc/%d/task/%s/children"  # where the kernel has CONFIG_PROC_CHILDREN
_PAUSE = 0.001
_QUIET_WALKS = 2


def children_of(pid):
    """Give the pids of a process's children, ended and not yet reaped ones too; none where it is gone."""
    found = []
    try:
        for thread in os.listdir("/proc/%d/task" % pid):
            found += _read(_LINUX_LIST % (pid, thread)).split()
    except OSError:
        return _by_their_parents(pid) if os.path.exists("/proc/%d/stat" % pid) else []
    return [int(child) for child in found]


def walk(first):
    """Give all pids of the trees under the pids `first`, parents before their children."""
    found = list(first)
    for pid in found:  # grows meanwhile
        found += [child for child in children_of(pid) if child not in found]
    return found


def terminate(first):
    """Ask all of the trees under the pids `first` to end. What is stopped is continued, or it would not see it."""
    for pid in walk(first):
        _send(pid, _SIGTERM)
        _send(pid, _SIGCONT)


def kill(list_first, reap, seconds):
    """Kill the trees under what `list_first()` gives, for at most `seconds`; `reap()` waits for what has ended.

    Give the pids that could not be killed: of another user, or stuck in the kernel.
    """
    deadline = time.monotonic() + seconds
    while True:
        stopped = set()
        quiet = 0
        while quiet < _QUIET_WALKS and time.monotonic() < deadline:
            new = [pid for pid in walk(list_first()) if pid not in stopped]
            quiet = 0 if new else quiet + 1
            for pid in new:
                _send(pid, _SIGSTOP)
            stopped.update(new)
        foreign = [pid for pid in walk(list_first()) if not _send(pid, _SIGKILL)]
        while True:
            reap()
            left = [pid for pid in walk(list_first()) if _lives(pid)]
            if not left or time.monotonic() > deadline or set(left) <= set(foreign):
                reap()  # what has ended between the two, or its number would stay taken
                return left
            if not set(left) <= stopped:
                break  # it has grown between the walks
            time.sleep(_PAUSE)


def owner_of(pid):
    """Give the uid that a process runs as; -1 where it is gone."""
    try:
        for line in _read("/proc/%d/status" % pid).splitlines():
            if line.startswith("Uid:"):
                return int(line.split()[2])
    except OSError:
        pass
    return -1


def stat_of(pid):
    """Give the fields of /proc/<pid>/stat after the command: state, parent, group, session, … (proc_pid_stat(5))."""
    try:
        return _read("/proc/%d/stat" % pid).rpartition(")")[2].split()
    except OSError:
        return None


def _send(pid, number):
    """Give whether we may: a process that is gone counts as one that we may signal."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
    except PermissionError:
        return False
    return True


def _lives(pid):
    stat = stat_of(pid)
    if stat is None and not os.path.exists("/proc/self/stat"):
        return True  # nothing tells; what has ended is no child of anybody's once it is reaped
    return stat is not None and stat[0] not in "ZX"


def _by_their_parents(pid):
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            stat = stat_of(int(name))
            if stat is not None and int(stat[1]) == pid:
                found.append(int(name))
    return found


def _read(path):
    with open(path, errors="replace") as file:
        return file.read()
