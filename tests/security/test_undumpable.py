"""What an undumpable Python action can't do for itself: measured, and listed in docs/security.md."""

from __future__ import annotations

import json
from typing import Final

from tests.ordinary import OrdinaryUser
from tests.security.test_same_user import in_docs

# Each is tried in a fork of a launcher, undumpable and dumpable; what only the second can do makes the list.
TRIES: Final = {
    "read /proc/self/environ": "open('/proc/self/environ', 'rb').read()",
    "read /proc/self/auxv": "open('/proc/self/auxv', 'rb').read()",
    "read /proc/self/io": "open('/proc/self/io').read()",
    "read /proc/self/mem": "open('/proc/self/mem', 'rb').close()",
    "read /proc/self/mountstats": "open('/proc/self/mountstats').read()",
    "read /proc/self/syscall": "open('/proc/self/syscall').read()",
    "list /proc/self/ns": "[os.readlink('/proc/self/ns/' + name) for name in os.listdir('/proc/self/ns')]",
    "write /proc/self/oom_score_adj": "open('/proc/self/oom_score_adj', 'w').write('500')",
    "write /proc/self/comm": "open('/proc/self/comm', 'w').write('other')",
    "write /proc/self/coredump_filter": "open('/proc/self/coredump_filter', 'w').write('0')",
    "write /proc/self/uid_map": "os.close(os.open('/proc/self/uid_map', os.O_WRONLY))",
    "be attached to by a child (py-spy, gdb, strace)": "attach()",
    "read /proc/self/maps": "open('/proc/self/maps').read()",
    "read /proc/self/status": "open('/proc/self/status').read()",
    "list /proc/self/fd": "os.listdir('/proc/self/fd')",
    "open /dev/stdin": "open('/dev/stdin').close()",
    "open /dev/stdout": "open('/dev/stdout', 'w').close()",
    "open /dev/fd/N": "os.close(os.open('/dev/fd/0', os.O_RDONLY))",
    "start a program": "subprocess.run(['cat', '/proc/self/environ'], check=True, stdout=subprocess.DEVNULL)",
    "use multiprocessing": "multiprocessing()",
    "use asyncio": "asyncio.run(asyncio.sleep(0))",
    "use a temporary file": "tempfile.TemporaryFile().write(b'x')",
    "use faulthandler": "faulthandler.enable()",
}
ACTION: Final = """
import asyncio, ctypes, errno, faulthandler, os, signal, subprocess, tempfile

def attach():
    reader, writer = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if not child:
        libc = ctypes.CDLL(None, use_errno=True)
        failed = libc.ptrace(0x4206, parent, 0, 0) < 0  # PTRACE_SEIZE, which does not stop it
        os.write(writer, b"n" if failed else b"y")
        os._exit(0)
    os.waitpid(child, 0)
    if os.read(reader, 1) == b"n":
        raise PermissionError

def double(x):
    return 2 * x

def multiprocessing():
    import multiprocessing
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.map(double, [1]) == [2]

def run(params):
    outcomes = {}
    for name, code in params["tries"].items():
        try:
            exec(code, globals())
            outcomes[name] = True
        except PermissionError:
            outcomes[name] = False
        except FileNotFoundError:
            outcomes[name] = None  # this kernel has no such file
    return outcomes
"""
MEASURE: Final = """
import json, sys
from pathlib import Path
from attune_tasks.confinement import Confinement
from tests.runs import run_script
from tests.security.test_undumpable import ACTION, TRIES
results = []
for dumpable in (False, True):
    confinement = Confinement(dumpable=dumpable)
    result = run_script("python", Path.cwd(), ACTION, confinement=confinement, parameters={"tries": TRIES})
    assert result.status == "succeeded", result
    results.append(result.result)
print(json.dumps(results))
"""


def test_what_an_undumpable_action_cannot_do_for_itself_is_what_the_page_says(ordinary_user: OrdinaryUser) -> None:
    undumpable, dumpable = json.loads(ordinary_user.run(MEASURE))
    assert all(can is not False for can in dumpable.values()), "`dumpable: true` gives all of it back"
    lost = [name for name, can in undumpable.items() if can is False]
    missing = [name for name, can in dumpable.items() if can is None]
    text = "".join(f"- {_marked(name)}\n" for name in lost)
    kept = in_docs("self", text).splitlines(keepends=True)
    assert [line for line in kept if not any(_marked(name) in line for name in missing)] == text.splitlines(
        keepends=True
    )
    assert len(lost) >= 8
    assert {"list /proc/self/fd", "start a program", "use multiprocessing"}.isdisjoint(lost)


def _marked(name: str) -> str:
    return " ".join(f"`{word}`" if word.startswith("/") else word for word in name.split())
