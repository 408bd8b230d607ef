"""Workers of an ordinary user: what actions can't escape, what only another uid escapes, and a hostile preload."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from attune_tasks.process.cgroup import own_cgroup
from tests.ordinary import OrdinaryUser
from tests.processes import alive
from tests.waiting import wait_until

# A program that becomes root, as sudo does, and runs what it is told: SETUID PROGRAM ARGUMENT...
HELPER = """
#include <unistd.h>
int main(int count, char **arguments) {
    return setgid(0) || setuid(0) || count < 2 ? 1 : execv(arguments[1], arguments + 1);
}
"""
HEAD = """
import json, os, sys, time
from pathlib import Path
from attune_tasks.confinement import Confinement
from attune_tasks.process import Launchers, LaunchersPolicy, Supervision
from tests.runs import RUNTIMES, run_script
launchers = Launchers(LaunchersPolicy())
def run(runtime, text, secrets=None, **more):
    more.setdefault("supervision", Supervision(launchers=launchers, grace=0.5))
    started = time.monotonic()
    result = run_script(runtime, Path.cwd(), text, secrets, **more)
    return {**result.to_dict(), "seconds": time.monotonic() - started}
"""


@pytest.fixture
def helper(ordinary_user: OrdinaryUser) -> Iterator[Path]:
    """Give a set-uid program of root which an ordinary user can start."""
    folder = next(
        Path(tempfile.mkdtemp(prefix="helper-", dir=place))
        for place in (tempfile.gettempdir(), "/var/tmp", "/dev/shm")
        if not os.statvfs(place).f_flag & os.ST_NOSUID
    )
    folder.chmod(0o755)
    program = folder / "helper"
    subprocess.run(["cc", "-x", "c", "-o", str(program), "-"], input=HELPER, text=True, check=True)
    os.chown(program, 0, 0)
    program.chmod(0o4755)
    yield program
    shutil.rmtree(folder)


LEAVES = {
    "python": "import subprocess\nprint(subprocess.Popen(['HELPER', '/bin/sleep', '600']).pid)\nimport time\nWAIT",
    "python-exec": "import subprocess\nprint(subprocess.Popen(['HELPER', '/bin/sleep', '600']).pid)\nimport time\nWAIT",
    "shell": "HELPER /bin/sleep 600 &\necho $!\nWAIT",
    "executable": "#!/bin/bash\nHELPER /bin/sleep 600 &\necho $!\nWAIT",
}


@pytest.mark.parametrize("end", ["its own", "the deadline"])
@pytest.mark.parametrize("runtime", LEAVES)
def test_what_another_uid_keeps_alive_is_reported_and_delays_nothing(
    ordinary_user: OrdinaryUser, helper: Path, runtime: str, end: str
) -> None:
    wait = {"its own": "", "the deadline": "time.sleep(600)\n" if runtime.startswith("python") else "sleep 600\n"}[end]
    text = LEAVES[runtime].replace("HELPER", str(helper)).replace("WAIT", wait)
    text = text.replace("import time\n", "import time\ntime.sleep(0.3)\n").replace("echo $!\n", "echo $!\nsleep 0.3\n")
    code = f"{HEAD}\nprint(json.dumps([run({runtime!r}, {text!r}, timeout=1.0 if {bool(wait)} else 30.0),"
    code += " run('python', 'print(\"fine\")')]))\nlaunchers.close()\n"
    result, following = json.loads(ordinary_user.run(code))
    ((pid, uid),) = result["left_behind"]
    try:
        assert uid == 0
        assert alive(pid)
        assert Path(f"/proc/{pid}/cmdline").read_bytes() == b"/bin/sleep\x00600\x00"
        assert result["status"] == ("timed_out" if wait else "succeeded")
        assert result["seconds"] < 8
        assert (following["status"], following["stdout"]) == ("succeeded", "fine\n")
    finally:
        os.kill(pid, 9)
    wait_until(lambda: not ordinary_user.processes(), "the end of all that the user had")
    assert list((ordinary_user.folder / "tmp").iterdir()) == []


def test_with_a_cgroup_that_the_worker_may_use_nothing_is_left_behind(
    ordinary_user: OrdinaryUser, helper: Path
) -> None:
    parent = own_cgroup()
    assert parent is not None, "these tests need a cgroup of version 2"
    group = parent / f"delegated-{secrets.token_hex(4)}"
    group.mkdir()
    try:
        for path in (group, *(group / name for name in ("cgroup.procs", "cgroup.threads", "cgroup.subtree_control"))):
            os.chown(path, ordinary_user.uid, ordinary_user.uid)
        text = LEAVES["shell"].replace("HELPER", str(helper)).replace("WAIT", "sleep 0.5\n")
        code = f"{HEAD}\nsys.stdin.readline()\nprint(json.dumps([run('shell', {text!r}), run('python', 'print(1)')]))\n"
        code += "launchers.close()\n"
        with ordinary_user.popen(code, stdin=subprocess.PIPE) as process:
            (group / "cgroup.procs").write_text(f"{process.pid}\n")  # what systemd does for a unit with Delegate=yes
            output, _ = process.communicate("go\n", timeout=60)
        result, following = json.loads(output)
        assert (result["status"], result["left_behind"]) == ("succeeded", [])
        assert not alive(int(result["stdout"]))
        assert following["status"] == "succeeded"
        assert [path.name for path in group.iterdir() if path.is_dir()] == []
    finally:
        wait_until(lambda: not (group / "cgroup.procs").read_text(), "its end")
        group.rmdir()


KILLS = {
    "python": "import os, signal, subprocess\nsubprocess.Popen(['setsid', 'sleep', '600'])\n"
    "os.kill(os.getppid(), signal.SIGKILL)\nsignal.pause()\n",
    "shell": "setsid sleep 600 &\nkill -KILL $PPID\nsleep 600\n",
}
KILLS |= {"python-exec": KILLS["python"], "executable": "#!/bin/bash\n" + KILLS["shell"]}


def test_an_action_that_kills_its_own_launcher_ends_with_it_and_takes_no_other_along(
    ordinary_user: OrdinaryUser,
) -> None:
    code = f"""{HEAD}
import threading
kept = []
thread = threading.Thread(target=lambda: kept.append(run("shell", "sleep 3; echo kept", pack_path=Path("/other"),
                                                         name="kept")))
thread.start()
results = [run(runtime, text, name=runtime) for runtime, text in {KILLS!r}.items()]
thread.join()
launchers.close()
print(json.dumps([results, kept]))
"""
    results, (kept,) = json.loads(ordinary_user.run(code))
    for result in results:
        assert (result["status"], result["error"]["type"], result["left_behind"]) == ("error", "launcher_lost", [])
        assert result["seconds"] < 5
    assert (kept["status"], kept["stdout"]) == ("succeeded", "kept\n")
    assert ordinary_user.processes() == []
    assert list((ordinary_user.folder / "tmp").iterdir()) == []


# Leaves a process behind which looks at everything of its user that it finds, as long as its launcher lives.
SPY = """
import ctypes, os, time
if not os.fork():
    libc = ctypes.CDLL(None, use_errno=True)
    seen = open({place!r}, "wb", buffering=0)
    seen.write(b"looking")
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for name in os.listdir("/proc"):
            try:
                mine = name.isdecimal() and int(name) != os.getpid()
                if not (mine and "Uid:\\t%d" % os.getuid() in open("/proc/" + name + "/status").read()):
                    continue
            except OSError:
                continue
            for what in ("environ", "cmdline"):
                try:
                    seen.write(open("/proc/" + name + "/" + what, "rb").read())
                except OSError:
                    pass
            try:
                for line in open("/proc/" + name + "/maps"):
                    if "rw-p" in line:
                        first, last = (int(number, 16) for number in line.split()[0].split("-"))
                        with open("/proc/" + name + "/mem", "rb", buffering=0) as memory:
                            memory.seek(first)
                            seen.write(memory.read(min(last - first, 1 << 22)) or b"")
            except OSError:
                pass
            try:
                handle = os.pidfd_open(int(name))
                for number in range(0, 20):
                    taken = libc.syscall(438, handle, number, 0)
                    if taken >= 0:
                        os.set_blocking(taken, False)
                        seen.write(b"took %d of %s" % (number, name.encode()))
                os.close(handle)
            except OSError:
                pass
    os._exit(0)
"""


def test_a_hostile_preload_of_one_pack_sees_no_secret_of_another_packs_forked_actions(
    ordinary_user: OrdinaryUser,
) -> None:
    forked, fresh = f"forked-{secrets.token_hex(12)}", f"fresh-{secrets.token_hex(12)}"
    place = ordinary_user.folder / "seen"
    code = f"""{HEAD}
import threading
Path("lib").mkdir()
Path("lib/spy.py").write_text({SPY.format(place=str(place))!r})
import ctypes
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # as the worker does at its start
forked, fresh = sys.stdin.readline().split()
confinement = Confinement(preload=("spy",))
spying = threading.Thread(target=lambda: run("python", "import time; time.sleep(8)", name="spying",
                                             pack_path=Path.cwd(), confinement=confinement))
spying.start()
while not Path({str(place)!r}).exists(): time.sleep(0.01)
for runtime, key in (("python", forked), ("python-exec", fresh)):
    text = "import os, time\\nkept = [get_secret('key')] * 3\\ntime.sleep(2)\\n"
    result = run(runtime, text, {{"key": key}}, name=runtime.replace("-", "_"), pack_path=Path("/other"))
    assert result["status"] == "succeeded", result
spying.join()
launchers.close()
"""
    with ordinary_user.popen(code, stdin=subprocess.PIPE) as process:
        process.communicate(f"{forked} {fresh}\n", timeout=60)
    assert process.returncode == 0
    seen = place.read_bytes()
    assert fresh.encode() in seen, "planted: the look finds what can be read"
    assert forked.encode() not in seen
    assert ordinary_user.processes() == []
