import re
import signal
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
    sys.exit(3)
os.abort()
"""
CRASH_FOLDERS = ("/var/lib/systemd/coredump", "/var/crash", "/var/lib/apport/coredump")


def run(params):
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    folder = folder_of(pattern)
    before = set(folder.iterdir())
    value = get_secret("canary").splitlines()[0].encode()  # noqa: F821 - given to every action
    program = subprocess.Popen([sys.executable, "-I", "-c", PROGRAM], stdin=subprocess.PIPE)
    program.communicate(value + b"\n")
    if program.returncode == -signal.SIGABRT:
        time.sleep(params["seconds"])
    else:  # it may not raise its limit: so as a debugger writes one
        program = subprocess.Popen(["sleep", str(params["seconds"])])  # noqa: S607 - found on PATH
        (folder / name_by(pattern, program.pid)).write_bytes(core_of(program.pid, value))
        program.wait()
    for path in set(folder.iterdir()) - before:
        if path.name == "core" or str(program.pid) in path.name or path.name == name_by(pattern, program.pid):
            path.unlink()


def folder_of(pattern):
    """Give where core files are to go, or where the program to which they are given puts them."""
    if pattern.startswith(("|", "@")):
        return next(path for path in map(Path, CRASH_FOLDERS) if path.is_dir())
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
