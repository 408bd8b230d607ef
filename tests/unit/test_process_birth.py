"""What a child has at its birth: descriptors, session, signals, umask, bounds. As of a plain interpreter, or better."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from attune_tasks.confinement import Confinement, Limits
from attune_tasks.process import Launchers, Supervision
from tests.runs import RUNTIMES, language, run_script

# The same look in three languages: JSON or `name value` lines on standard output.
LOOK = {
    "python": """
import os
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines())
print("umask", status["Umask"])
for name in ("SigBlk", "SigIgn", "SigCgt", "ShdPnd", "SigPnd", "NoNewPrivs", "CapEff"):
    print(name, status[name].strip())
print("leader", os.getsid(0) == os.getpid() == os.getpgrp())
print("fds", " ".join(sorted(name for name in os.listdir("/proc/self/fd") if name != str(os.dup(0) and 0))))
print("oom", open("/proc/self/oom_score_adj").read().strip())
print("limits")
print(open("/proc/self/limits").read())
""",
    "shell": """
status=$(</proc/$$/status)
for name in Umask SigBlk SigIgn SigCgt ShdPnd SigPnd NoNewPrivs CapEff; do
    [[ $status =~ $name:.([0-9a-f]+) ]] && echo "${name/U/u} ${BASH_REMATCH[1]}"
done
echo "leader $([[ $(cut -d' ' -f5,6 /proc/$$/stat) == "$$ $$" ]] && echo True)"
echo "oom $(</proc/$$/oom_score_adj)"
echo limits
cat /proc/$$/limits
""",
}
LOOK["executable"] = "#!/bin/bash\n" + LOOK["shell"]
_GLIBC = {31, 32}
"""Bits of the two signals which glibc's posix_spawn ignores in what it starts, and a program's glibc takes back."""


def looked(output: str) -> dict[str, str]:
    head, _, limits = output.partition("limits\n")
    found = {name: value for name, _, value in (line.partition(" ") for line in head.splitlines())}
    for line in limits.splitlines()[1:]:
        if line.strip():
            found[line[:26].strip()] = " ".join(line[26:].split()[:2])
    return found


def bits(text: str) -> set[int]:
    return {number for number in range(64) if int(text, 16) >> number & 1}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_signals_session_and_bounds_are_those_of_a_plain_child(tmp_path: Path, runtime: str) -> None:
    kind = language(runtime)
    script = tmp_path / "plain"
    script.write_text(LOOK[kind])
    command = [sys.executable, "-I", str(script)] if kind == "python" else ["bash", "-c", '. "$0"', str(script)]
    plain = looked(subprocess.run(command, capture_output=True, text=True, check=True, start_new_session=True).stdout)
    result = run_script(runtime, tmp_path, LOOK[kind])
    child = looked(result.stdout)
    assert child["leader"] == "True", result
    assert child["umask"] == "0077"
    # Not 0: the kernel hands a core to a program (kernel.core_pattern) whatever the limit, but for a limit of 1.
    assert child["Max core file size"] == "1 1"
    assert bits(child["SigIgn"]) - _GLIBC == bits(plain["SigIgn"]) - _GLIBC
    assert set(plain) == set(child)
    differ = {name for name in plain if plain[name] != child[name]} - {"umask", "Max core file size", "SigIgn", "fds"}
    assert differ == set()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_the_worker_ignores_or_blocks_is_nothing_to_its_children(tmp_path: Path, runtime: str) -> None:
    program = f"""
import signal, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
for number in (1, 2, 3, 10, 12, 13, 15, 17, 20, 21, 22, 23, 28):
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
from pathlib import Path
from tests.runs import run_script
from attune_tasks.process import Launchers, Supervision
launchers = Launchers()
print(run_script({runtime!r}, Path({str(tmp_path)!r}), {LOOK[language(runtime)]!r},
                 supervision=Supervision(launchers=launchers)).stdout)
launchers.close()
"""
    if language(runtime) == "python":
        script = tmp_path / "plain"
        script.write_text(LOOK["python"])
        done = subprocess.run([sys.executable, "-I", str(script)], capture_output=True, text=True, check=True)
        plain = looked(done.stdout)
    else:
        plain = looked(run_script(runtime, tmp_path, LOOK[language(runtime)]).stdout)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    child = looked(done.stdout)
    for name in ("SigIgn", "SigBlk", "SigCgt"):
        assert bits(child[name]) - _GLIBC == bits(plain[name]) - _GLIBC, name


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_child_has_its_streams_and_nothing_that_is_open_in_worker_or_launcher(tmp_path: Path, runtime: str) -> None:
    text = {
        "python": "import os\nprint({n: os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd')"
        " if os.path.lexists(f'/proc/self/fd/{n}')})\n",
        "shell": "ls -l /proc/$$/fd\n",
        "executable": "#!/bin/sh\nls -l /proc/$$/fd\n",
    }[language(runtime)]
    held = (tmp_path / "held").open("w")
    os.set_inheritable(held.fileno(), True)  # noqa: FBT003 - it takes no name
    result = run_script(runtime, tmp_path, text)
    held.close()
    assert result.status == "succeeded", result
    assert "held" not in result.stdout
    assert "socket:" not in result.stdout
    assert "pidfd" not in result.stdout
    assert result.stdout.count("pipe:") == 4, "standard input, output and error, and the control channel"


BOUNDS = {"memory": 1 << 30, "cpu_seconds": 7, "file_size": 1 << 16, "processes": 5000, "open_files": 64}
SHOWN = {
    "Max address space": "1073741824 1073741824",
    "Max cpu time": "7 8",
    "Max file size": "65536 65536",
    "Max processes": "5000 5000",
    "Max open files": "64 64",
}


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("names", [[name] for name in BOUNDS] + [list(BOUNDS)], ids="+".join)
def test_each_bound_is_set_and_the_others_are_not(tmp_path: Path, runtime: str, names: list[str]) -> None:
    limits = Limits(**{name: BOUNDS[name] for name in names})
    free = looked(run_script(runtime, tmp_path, LOOK[language(runtime)]).stdout)
    result = run_script(runtime, tmp_path, LOOK[language(runtime)], {"key": "v"}, confinement=confined(runtime, limits))
    child = looked(result.stdout)
    for name, shown in zip(BOUNDS, SHOWN, strict=True):
        assert child[shown] == (SHOWN[shown] if name in names else free[shown]), result
    for name in ("umask", "leader", "Max core file size", "SigBlk", "SigCgt", "oom"):
        assert child[name] == free[name]
    assert bits(child["SigIgn"]) - _GLIBC == bits(free["SigIgn"]) - _GLIBC
    after = looked(run_script(runtime, tmp_path, LOOK[language(runtime)]).stdout)
    assert {name: after[name] for name in SHOWN} == {name: free[name] for name in SHOWN}, "the next one is free again"


def confined(runtime: str, limits: Limits) -> Confinement:
    return Confinement(isolation="exec" if runtime == "python-exec" else "fork", limits=limits)


BREAK = {
    "memory": ("x = bytearray(1 << 31)\n", "printf -v x '%*s' 300000000 ''\n"),
    "cpu_seconds": ("while True: pass\n", "while :; do :; done\n"),
    "file_size": ("open('big', 'wb').write(b'x' * (1 << 20))\n", "head -c 1048576 /dev/zero >big\n"),
    "open_files": (
        "import os\nkept = [os.dup(0) for _ in range(100)]\n",
        "exec {a}<&0; ulimit -n; for i in {1..100}; do exec {fd}</dev/null; done\n",
    ),
}


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("name", BREAK)
def test_what_goes_beyond_a_bound_fails(tmp_path: Path, runtime: str, name: str) -> None:
    python, shell = BREAK[name]
    kind = language(runtime)
    text = {"python": python, "shell": shell, "executable": f"#!/bin/bash\nset -e\n{shell}"}[kind]
    limits = Limits(**{name: {"cpu_seconds": 1, "memory": 1 << 28}.get(name, BOUNDS[name])})
    result = run_script(runtime, tmp_path, text, confinement=confined(runtime, limits))
    assert result.status == "failed", result
    if name == "cpu_seconds":
        assert result.signal == "SIGXCPU"
    elif kind == "python":
        assert result.error is not None
        assert result.error["type"] in {"MemoryError", "OSError"}


def test_a_bound_above_the_workers_own_is_lowered_to_it(tmp_path: Path) -> None:
    result = run_script(
        "python",
        tmp_path,
        "import resource\ndef run(params):\n    return list(resource.getrlimit(resource.RLIMIT_NOFILE))\n",
        confinement=Confinement(limits=Limits(open_files=(1 << 63) - 1)),
    )
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert result.result == [hard, hard]


@pytest.mark.parametrize("limits", [Limits(memory=1), Limits(memory=1 << 20), Limits(open_files=1)], ids=str)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_bound_that_is_lower_than_what_a_child_needs_fails_it_in_words(
    tmp_path: Path, runtime: str, limits: Limits
) -> None:
    # A fork has its memory already: it fails where it wants more.
    text = "kept = bytearray(1 << 24)\n" if language(runtime) == "python" else "#!/bin/sh\ntrue\n"
    result = run_script(runtime, tmp_path, text, {"key": "value"}, confinement=confined(runtime, limits))
    assert result.status == "failed", result
    assert result.error is not None
    if runtime == "python" and result.error["type"] != "nonzero_exit":  # which it is where there is no memory to tell
        assert result.error["type"] == ("MemoryError" if limits.memory else "OSError")
    elif result.signal is not None:
        assert result.error["message"] == f"the action was ended by {result.signal}"
    else:
        assert result.error["message"] == f"the action ended with exit code {result.exit_code}"
        assert result.stderr or runtime == "python", "why, in words of the program's or of ours"
    assert "value" not in result.stderr + str(result.error)


@pytest.mark.parametrize(
    ("runtime", "dumpable"), [*((runtime, False) for runtime in RUNTIMES), ("python", True)], ids=str
)
def test_no_core_file_is_left(tmp_path: Path, runtime: str, dumpable: bool) -> None:  # noqa: FBT001 - a parameter
    text = {"python": "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", "shell": "kill -SEGV $$\n"}
    text["executable"] = "#!/bin/sh\n" + text["shell"]
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    try:
        launchers = Launchers()
        result = run_script(
            runtime,
            tmp_path,
            text[language(runtime)],
            working_dir=tmp_path,
            supervision=Supervision(launchers=launchers),
            confinement=replace(confined(runtime, Limits()), dumpable=dumpable),
        )
        launchers.close()
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)
    assert result.signal == "SIGSEGV"
    assert [path.name for path in tmp_path.iterdir() if "core" in path.name] == []
