import contextlib
import os
import re
import struct
import subprocess
import sys
import time
from pathlib import Path

PROGRAM = """
import os, resource, sys
kept = sys.stdin.readline()
try:
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
except ValueError:
    pass
os.abort()
"""
CRASH_FOLDERS = ("/var/lib/systemd/coredump", "/var/crash", "/var/lib/apport/coredump")


def run(params):
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    value = get_secret("canary").splitlines()[0].encode()  # noqa: F821 - given to every action
    return leave_core(pattern, value, params["seconds"])


def leave_core(pattern, value, seconds):
    """Leave one for so long. Give the kernel's word for it where a program got it, or why there is none."""
    piped = pattern.startswith(("|", "@"))
    folder = folder_of(pattern)
    before = files_in(folder)
    pid, dumped = crash(value)
    if dumped:
        time.sleep(seconds)
    else:  # it may not raise its limit: so as a debugger writes one
        with subprocess.Popen(["sleep", str(seconds)]) as program:  # noqa: S607 - found on PATH
            pid = program.pid
            try:
                (folder / name_by(pattern, pid)).write_bytes(core_of(pid, value))
            except OSError as error:
                program.kill()
                return {"could_not_leak": f"no core can be left in {folder}: {error.strerror}"}
    for path in files_in(folder) - before:
        if path.name == "core" or str(pid) in path.name or path.name == name_by(pattern, pid):
            with contextlib.suppress(OSError):  # it is the program's, to which it was given
                path.unlink()
    # Of a file that was found the kernel's word would say nothing new: the look at files is to be tried.
    return {"core_dumps": 1} if dumped and piped else None


def crash(value):
    """Let a program that holds the value crash; give its pid, and whether the kernel says that it dumped core."""
    with subprocess.Popen([sys.executable, "-I", "-c", PROGRAM], stdin=subprocess.PIPE) as program:
        program.stdin.write(value + b"\n")
        program.stdin.close()
        ended = os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)
    return program.pid, ended.si_code == os.CLD_DUMPED


def files_in(folder):
    try:
        return set(folder.iterdir())
    except OSError:
        return set()


def folder_of(pattern):
    """Give where core files are to go, or where the program to which they are given puts them."""
    if pattern.startswith(("|", "@")):
        return next((path for path in map(Path, CRASH_FOLDERS) if path.is_dir()), Path(CRASH_FOLDERS[0]))
    if pattern.startswith("/"):
        return Path(pattern.partition("%")[0].rpartition("/")[0] or "/")
    return Path.cwd()


def name_by(pattern, pid):
    if pattern.startswith(("|", "@")):
        return f"core.control.{pid}"
    name = re.sub("%[pP]", str(pid), pattern.rpartition("/")[2])
    return re.sub("%.", "0", name) or f"core.{pid}"


def core_of(pid, memory):
    """Give a core file: a header, one note which says the pid, and one piece of memory."""
    state = struct.pack("<4bxxxxQIIiiii16s80s", 0, ord("S"), 0, 0, 0, 0, 0, pid, 0, 0, 0, b"sleep", b"sleep")
    note = struct.pack("<III8s", 5, len(state), 3, b"CORE") + state
    at = 64 + 2 * 56
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header = struct.pack("<16sHHIQQQIHHHHHH", ident, 4, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    notes = struct.pack("<IIQQQQQQ", 4, 0, at, 0, 0, len(note), len(note), 4)
    loaded = struct.pack("<IIQQQQQQ", 1, 6, at + len(note), 4096, 0, len(memory), len(memory), 1)
    return header + notes + loaded + note + memory
