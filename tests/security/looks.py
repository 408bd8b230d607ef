"""How another user of the machine looks at processes: /proc and ps. Used with and without a planted leak."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from attune_tasks.result import ExecutionResult
from tests.runs import language, run_script

__all__ = ["Running", "environ_of", "ps_output", "running_action"]

_SECONDS: Final = 20.0

# Each uses its secret, writes its pid, starts a child, and waits until it is told to go on.
_SCRIPTS: Final = {
    "python": """
import os, pathlib, subprocess, sys, time
def run(params):
    used = len(get_secret("api_key", ""))
    child = subprocess.Popen(["sleep", "60"])
    pathlib.Path("pid.new").write_text(f"{os.getpid()} {child.pid}")
    os.rename("pid.new", "pid")
    while not os.path.exists("go"):
        time.sleep(0.01)
    seen = open(f"/proc/{child.pid}/environ").read()  # its own is that of its launcher, where it was forked
    child.kill()
    child.wait()
    try:
        own = open("/proc/self/environ").read()
    except PermissionError:  # a fork of the launcher is undumpable: only root may look
        own = ""
    print(seen, own)
    return used
""",
    "shell": """
get_secret -v key api_key
sleep 60 &
echo "$$ $!" > pid.new
mv pid.new pid
while [[ ! -e go ]]; do sleep 0.01; done
kill $!
cat /proc/$$/environ | tr '\\0' '\\n'
set_result ${#key}
""",
    "executable": """#!/usr/bin/env python3
import json, os, pathlib, subprocess, sys, time
key = json.loads(sys.stdin.readline()).get("api_key", "")
child = subprocess.Popen(["sleep", "60"])
pathlib.Path("pid.new").write_text(f"{os.getpid()} {child.pid}")
os.rename("pid.new", "pid")
while not os.path.exists("go"):
    time.sleep(0.01)
child.kill()
child.wait()
print(open("/proc/self/environ").read())
os.write(3, b'{"type":"result","value":%d}\\n' % len(key))
""",
}


class Running:
    """An action that waits while it is looked at."""

    def __init__(self, pids: list[int]) -> None:
        """Keep the pids of the action and of the child that it has started."""
        self.pids = pids
        self.result: ExecutionResult | None = None


@contextmanager
def running_action(runtime: str, folder: Path, secrets: dict[str, str], **context: Any) -> Iterator[Running]:
    """Run an action in a thread, and give it while it runs; after the block it has ended and has its result."""
    results: list[ExecutionResult] = []

    def work() -> None:
        results.append(run_script(runtime, folder, _SCRIPTS[language(runtime)], secrets, working_dir=folder, **context))

    thread = threading.Thread(target=work)
    thread.start()
    deadline = time.monotonic() + _SECONDS
    while not (folder / "pid").exists():
        assert thread.is_alive(), results
        assert time.monotonic() < deadline, "the action did not begin"
        time.sleep(0.01)
    running = Running([int(pid) for pid in (folder / "pid").read_text().split()])
    try:
        yield running
    finally:
        (folder / "go").touch()
        thread.join()
        running.result = results[0] if results else None


def environ_of(pids: list[int]) -> str:
    """Give the environments and the command lines of processes, as /proc shows them."""
    files = [Path(f"/proc/{pid}/{name}") for pid in pids for name in ("environ", "cmdline")]
    return "\n".join(_content(file) for file in files)


def _content(file: Path) -> str:
    try:
        return file.read_bytes().decode(errors="replace").replace("\0", "\n")
    except PermissionError:  # it is undumpable, and this is not root: nothing of it can be seen
        return ""


def ps_output() -> str:
    """Give what ``ps auxe`` prints, lines as long as they are."""
    return subprocess.run(["ps", "auxewww"], capture_output=True, text=True, check=True, errors="replace").stdout
