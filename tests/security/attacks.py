"""What an action may try against others, and a worker in whose midst it tries. Measured as an ordinary user."""

from __future__ import annotations

import json
import os
import shlex
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from attune_tasks.confinement import Confinement
from attune_tasks.process import Launchers, Supervision
from attune_tasks.result import ExecutionResult
from tests.runs import language, run_script
from tests.waiting import wait_until

__all__ = ["ATTEMPTS", "VICTIMS", "attack_program", "measure"]

# For each pid: which of the attempts succeed. Runs as an action, so it needs nothing but the stdlib.
_ATTACK: Final = """
import ctypes, errno, os, signal
libc = ctypes.CDLL(None, use_errno=True)

def environ(pid):
    open(f"/proc/{pid}/environ", "rb").read()

def memory(pid):
    first = open(f"/proc/{pid}/maps").readline().split("-")[0]
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
        file.seek(int(first, 16))
        file.read(16)

def descriptors(pid):
    numbers = os.listdir(f"/proc/{pid}/fd")
    os.close(os.open(f"/proc/{pid}/fd/{numbers[0]}", os.O_RDONLY | os.O_NONBLOCK))

def attach(pid):
    check(libc.ptrace(16, pid, 0, 0))  # PTRACE_ATTACH
    os.waitpid(pid, 0x40000000)  # __WALL
    check(libc.ptrace(17, pid, 0, 0))  # PTRACE_DETACH

def take_descriptor(pid):
    handle = os.pidfd_open(pid)
    os.close(check(libc.syscall(438, handle, 0, 0)))  # pidfd_getfd

def end(pid):
    os.kill(pid, 0)

def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result

def attack(pids, paths):
    found = {}
    for name, pid in pids.items():
        for attempt in (environ, memory, descriptors, attach, take_descriptor, end):
            try:
                attempt(pid)
                outcome = "possible"
            except (PermissionError, FileNotFoundError) as error:
                outcome = "denied" if error.errno in (errno.EPERM, errno.EACCES) else repr(error)
            except (OSError, ValueError, IndexError) as error:  # it has ended, and shows nothing
                outcome = repr(error)
            found.setdefault(name, {})[attempt.__name__] = outcome
    files = {}
    for name, path in paths.items():
        try:
            open(path).read()
            files[name] = "possible"
        except PermissionError:
            files[name] = "denied"
    return [found, files, os.getuid()]
"""
ATTEMPTS: Final = {
    "environ": "read its environment (`/proc/<pid>/environ`)",
    "memory": "read its memory (`/proc/<pid>/mem`)",
    "descriptors": "list and open its descriptors (`/proc/<pid>/fd`)",
    "attach": "attach to it (ptrace)",
    "take_descriptor": "take a descriptor of it (pidfd_getfd)",
    "end": "end it, stop it, signal it",
}
_WAITS: Final = {
    "python": "import os, time\nkept = get_secret('key')\nopen('HERE.new', 'w').write(str(os.getpid()))\n"
    "os.rename('HERE.new', 'HERE')\nwhile not os.path.exists('go'): time.sleep(0.01)\n",
    "shell": "get_secret -v key key\necho $$ >HERE.new\nmv HERE.new HERE\nuntil [[ -e go ]]; do sleep 0.05; done\n",
    "executable": "#!/bin/bash\nread -r line\necho $$ >HERE.new\nmv HERE.new HERE\n"
    "until [[ -e go ]]; do sleep 0.05; done\n",
}
VICTIMS: Final[Mapping[str, tuple[str, bool]]] = {
    "fork": ("python", False),
    "exec": ("python-exec", False),
    "shell": ("shell", False),
    "executable": ("executable", False),
    "dumpable": ("python", True),
}
"""By name: the runtime, and whether the metadata says `dumpable: true`."""


def attack_program(pids: Mapping[str, int], files: Mapping[str, str]) -> str:
    """Give a Python program that tries everything on processes and files, and prints as JSON what it found.

    That is: by name of a process and by name of an attempt what came of it; by name of a file the same; its own uid.
    """
    return f"{_ATTACK}\nimport json\nprint(json.dumps(attack({dict(pids)!r}, {dict(files)!r})))\n"


def measure(
    folder: Path, files: Mapping[str, str], attacker: str = "python", run_as: str | None = None
) -> dict[str, Any]:
    """Run the victims, and in their midst an action that tries everything; give what it found.

    `run_as` is the attacker's user. A shell action attacks by an interpreter that it starts. `folder` is open to all
    that take part. The worker is this process, and its parent stands for the worker's main one.
    """
    launchers = Launchers()
    threads = []
    for name, (runtime, dumpable) in VICTIMS.items():
        home = folder / name
        home.mkdir()
        text = _WAITS[language(runtime)].replace("HERE", "pid")
        confinement = Confinement(isolation="exec" if runtime == "python-exec" else "fork", dumpable=dumpable)
        arguments = {"pack_path": home, "working_dir": home, "confinement": confinement}
        thread = threading.Thread(target=_run, args=(runtime, home, text, launchers, arguments))
        thread.start()
        threads.append(thread)
    pids = {}
    for name in VICTIMS:
        wait_until((folder / name / "pid").exists, f"the begin of {name}", 30)
        pids[name] = int((folder / name / "pid").read_text())
    pids["main"], pids["pool"] = os.getppid(), os.getpid()
    pids["launcher"] = int(Path(f"/proc/{pids['fork']}/stat").read_text().rpartition(")")[2].split()[1])
    confinement = Confinement(isolation="exec" if attacker == "python-exec" else "fork", run_as=run_as)
    home = folder / "attacker"
    home.mkdir(mode=0o755)
    text = attack_program(pids, files)
    if attacker == "shell":
        text = f"{shlex.quote(sys.executable)} -I -c {shlex.quote(text)}\n"
    result = _run(attacker, home, text, launchers, {"confinement": confinement})
    for name in VICTIMS:
        (folder / name / "go").touch()
    for thread in threads:
        thread.join()
    launchers.close()
    assert result.status == "succeeded", result
    found, read, uid = json.loads(result.stdout)
    return {"pids": found, "files": read, "uid": uid}


def _run(runtime: str, home: Path, text: str, launchers: Launchers, arguments: dict[str, Any]) -> ExecutionResult:
    supervision = Supervision(launchers=launchers, grace=1)
    secret = {"key": "a secret of its own"}
    return run_script(runtime, home, text, secret, **{"timeout": 60.0, "supervision": supervision, **arguments})


def as_worker(folder: str, files: Mapping[str, str], attacker: str, run_as: str | None) -> None:
    """Be a worker's main process, with one pool process, both undumpable; print what :func:`measure` finds."""
    import ctypes

    os.environ["PLANTED"] = "the worker's own secret"
    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE, as the worker does at its start
    pid = os.fork()
    if not pid:
        code = 1
        try:
            os.write(1, json.dumps(measure(Path(folder), files, attacker, run_as)).encode())
            code = 0
        finally:
            os._exit(code)
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        time.sleep(0.01)
