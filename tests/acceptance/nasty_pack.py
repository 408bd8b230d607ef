"""Actions that do all they can to leave something behind, one of each kind, and one that minds its own business.

Each starts four processes: one in a session of its own, one forked twice, one that ignores SIGTERM, and one that has
stopped itself. All of them hold stdout and the file `<file>.pids` open, and write their numbers into it. The action
writes into its private folder, tells its own number in `<file>`, and ends of itself when there is `<file>.go`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["KINDS", "NEIGHBOUR", "PROCESSES", "UNDISTURBED", "write_nasty_pack"]

PROCESSES: Final = 5
"""Of an action: itself, and what it starts."""

_PYTHON: Final = """\
import os, pathlib, signal, time

def run(params):
    file = params["file"]
    pids = os.open(file + ".pids", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note():
        os.write(pids, b"%d\\n" % os.getpid())

    def started(*steps):
        if not os.fork():
            for step in steps:
                step()
            time.sleep(120)
            os._exit(0)

    def fork_again():
        if os.fork():
            os._exit(0)

    def ignore():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def stop():
        os.kill(os.getpid(), signal.SIGSTOP)

    pathlib.Path("kept").write_text("kept")
    note()
    started(os.setsid, note)
    started(os.setsid, fork_again, lambda: os.chdir("/"), note)
    started(ignore, note)
    started(note, stop)
    while pathlib.Path(file + ".pids").read_text().count("\\n") < 5:
        time.sleep(0.01)
    pathlib.Path(file + ".new").write_text(str(os.getpid()))
    os.rename(file + ".new", file)
    while not os.path.exists(file + ".go"):
        time.sleep(0.05)
    return "went"
"""
_SHELL: Final = """\
#!/bin/sh
file=$ATTUNE_ACTION_FILE
exec 9>>"$file.pids"
echo kept >kept
echo $$ >&9
setsid sh -c 'echo $$ >&9; exec sleep 120' &
(setsid sh -c 'cd /; echo $$ >&9; exec sleep 120' &)
sh -c 'trap "" TERM; echo $$ >&9; exec sleep 120' &
sh -c 'echo $$ >&9; kill -STOP $$; exec sleep 120' &
until [ "$(wc -l <"$file.pids")" -eq 5 ]; do sleep 0.02; done
echo $$ >"$file.new"
mv "$file.new" "$file"
until [ -e "$file.go" ]; do sleep 0.1; done
"""
_NEIGHBOUR: Final = """\
import os, pathlib, subprocess, time

def run(params):
    file = params["file"]
    child = subprocess.Popen(["sleep", "120"], start_new_session=True)
    pathlib.Path("mine").write_text("still there")
    pathlib.Path(file + ".pids").write_text(f"{os.getpid()}\\n{child.pid}\\n")
    pathlib.Path(file + ".new").write_text(str(os.getpid()))
    os.rename(file + ".new", file)
    while not os.path.exists(file + ".go"):
        time.sleep(0.05)
    return [pathlib.Path("mine").read_text(), child.poll()]
"""
UNDISTURBED: Final = ["still there", None]
"""What the neighbour returns where nobody touched its folder and its child."""

KINDS: Final = ("nasty.python", "nasty.exec", "nasty.shell", "nasty.executable")
NEIGHBOUR: Final = "nasty.neighbour"
_ACTIONS: Final = {
    "python": ("python", _PYTHON, ""),
    "exec": ("python", _PYTHON, "isolation: exec\n"),
    "shell": ("shell", _SHELL, ""),
    "executable": ("executable", _SHELL, ""),
    "neighbour": ("python", _NEIGHBOUR, ""),
}


def write_nasty_pack(packs: Path) -> Path:
    """Write the pack `nasty` below `packs`; give the action that a plain subprocess can run, too."""
    actions = packs / "nasty" / "actions"
    actions.mkdir(parents=True)
    (actions.parent / "pack.yaml").write_text("ref: nasty\nlabel: Nasty\nversion: 1.0.0\n", encoding="utf-8")
    for name, (runtime, text, more) in _ACTIONS.items():
        head = f"ref: nasty.{name}\nrunner_type: {runtime}\nentry_point: {name}.script\n{more}"
        parameters = "parameters:\n  file: {type: string, required: true}\n"
        (actions / f"{name}.yaml").write_text(head + parameters, encoding="utf-8")
        (actions / f"{name}.script").write_text(text, encoding="utf-8")
        (actions / f"{name}.script").chmod(0o755)
    return actions / "executable.script"
