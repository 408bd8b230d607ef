"""Children that misbehave: none hangs the supervisor, none loses what was printed, none is left behind."""

from __future__ import annotations

import json
import logging
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import pytest

from attune_tasks.context import ExecutionContext
from attune_tasks.errors import InvalidSecretError, StartError
from attune_tasks.process import Cancellation, Launchers, LaunchersPolicy, Supervision
from attune_tasks.runtimes import ExecutableRuntime
from tests.processes import alive
from tests.runs import RUNTIMES, language, run_script
from tests.vectors import CARRIED, REFUSED, expected_line
from tests.waiting import wait_until

BIG = {"big": "x" * (1 << 20)}
MIB_OUT = {
    "python": "import sys\nsys.stdout.write('o' * (1 << 20)); sys.stdout.flush()\nsys.stderr.write('e' * (1 << 20))\n",
    "shell": "head -c 1048576 /dev/zero | tr '\\0' o; head -c 1048576 /dev/zero | tr '\\0' e >&2\n",
    "executable": "#!/bin/sh\nhead -c 1048576 /dev/zero | tr '\\0' o; head -c 1048576 /dev/zero | tr '\\0' e >&2\n",
}
SLEEP = {
    "python": "import time\nprint('begun', flush=True)\ntime.sleep(600)\n",
    "shell": "echo begun; sleep 600\n",
    "executable": "#!/bin/sh\necho begun; sleep 600\n",
}
STUBBORN = {
    "python": "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint('begun', flush=True)\ntime.sleep(600)\n",
    "shell": "trap '' TERM\necho begun\nsleep 600\n",
    "executable": "#!/bin/bash\ntrap '' TERM\necho begun\nsleep 600\n",
}


def test_an_executable_reads_the_line_itself_and_says_its_result_on_descriptor_3(tmp_path: Path) -> None:
    text = '#!/bin/sh\nread -r line\necho "$line"\ncat\necho \'{"type":"result","value":[1]}\' >&3\nls /proc/$$/fd\n'
    result = run_script("executable", tmp_path, text, {"a": 'b"c'})
    assert result.stdout.startswith('{"a":"b\\u0022c"}')
    assert set(result.stdout.split()[1:]) - {"10"} == {"0", "1", "2", "3"}  # dash keeps its script at 10
    assert result.result == [1]


@pytest.mark.parametrize("vector", CARRIED, ids=lambda vector: vector["name"])
def test_an_executable_gets_the_wires_vectors_to_the_byte(tmp_path: Path, vector: dict[str, Any]) -> None:
    result = run_script("executable", tmp_path, "#!/bin/sh\nexec od -An -v -tx1\n", vector["secrets"])
    assert bytes.fromhex(result.stdout) == expected_line(vector["text"])


@pytest.mark.parametrize("vector", REFUSED, ids=lambda vector: vector["name"])
def test_what_the_wire_refuses_starts_no_executable(tmp_path: Path, vector: dict[str, Any]) -> None:
    with pytest.raises(InvalidSecretError):
        run_script("executable", tmp_path, "#!/bin/sh\ntouch started\n", vector["secrets"], working_dir=tmp_path)
    assert not (tmp_path / "started").exists()


def test_a_compiled_program_runs_as_it_is(tmp_path: Path) -> None:
    program = tmp_path / "program"
    shutil.copy(shutil.which("cat") or "", program)
    assert program.read_bytes().startswith(b"\x7fELF")
    result = ExecutableRuntime().execute(ExecutionContext(1, "a.b", code_path=program, secrets={"a": "b"}))
    assert (result.status, result.stdout) == ("succeeded", expected_line('{"a":"b"}').decode())


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_child_that_fills_its_outputs_before_it_reads_a_line_of_a_mebibyte(tmp_path: Path, runtime: str) -> None:
    result = run_script(runtime, tmp_path, MIB_OUT[language(runtime)], BIG)
    assert (result.status, len(result.stdout), len(result.stderr)) == ("succeeded", 1 << 20, 1 << 20), result.error
    assert not result.stdout_truncated


@pytest.mark.parametrize(
    "text",
    [
        "#!/bin/sh\necho done\n",
        "#!/bin/sh\nexec <&-\nsleep 0.1\necho done\n",
        "#!/bin/sh\nsleep 0.2\ncat >/dev/null\necho done\n",
    ],
    ids=["never reads", "closes at once", "reads late"],
)
@pytest.mark.parametrize("secrets", [{"a": "b"}, BIG], ids=["small", "a mebibyte"])
def test_a_child_may_treat_its_standard_input_as_it_likes(tmp_path: Path, text: str, secrets: dict[str, str]) -> None:
    result = run_script("executable", tmp_path, text, secrets)
    assert (result.status, result.stdout) == ("succeeded", "done\n")


def test_a_child_that_reads_slowly_gets_every_byte(tmp_path: Path) -> None:
    text = (
        "#!/usr/bin/env python3\nimport os, time\nn = 0\n"
        "while piece := os.read(0, 4096):\n    n += len(piece)\n    time.sleep(0.001)\nprint(n)\n"
    )
    assert run_script("executable", tmp_path, text, BIG).stdout == f"{(1 << 20) + 512}\n"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_deadline_ends_the_child_and_keeps_what_was_printed(tmp_path: Path, runtime: str) -> None:
    result = run_script(runtime, tmp_path, SLEEP[language(runtime)], timeout=0.5, supervision=Supervision(grace=20))
    assert (result.status, result.stdout, result.signal) == ("timed_out", "begun\n", "SIGTERM")
    assert result.error is not None
    assert result.error["type"] == "timed_out"
    assert 500 <= result.duration_ms < 10_000


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_child_that_ignores_sigterm_is_killed_after_the_grace_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, runtime: str
) -> None:
    with caplog.at_level(logging.WARNING, "attune_tasks.process"):
        result = run_script(
            runtime, tmp_path, STUBBORN[language(runtime)], timeout=0.5, supervision=Supervision(grace=0.3)
        )
    said = f"execution {result.execution_id} of tests.action has not ended 0.3 seconds after SIGTERM, and is killed"
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [("WARNING", said)]
    assert (result.status, result.stdout) == ("timed_out", "begun\n")
    assert 800 <= result.duration_ms < 10_000
    assert result.signal == "SIGKILL"


def test_a_child_may_use_its_grace_to_clean_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = "trap 'echo cleaned; exit 7' TERM\necho begun\nsleep 600 & wait\n"
    result = run_script("shell", tmp_path, text, timeout=0.3, supervision=Supervision(grace=20))
    assert (result.status, result.exit_code, result.stdout) == ("timed_out", 7, "begun\ncleaned\n")
    assert caplog.messages == [], "there is nothing to warn of"


def test_the_rest_of_the_group_gets_the_grace_too(tmp_path: Path) -> None:
    text = "bash -c \"trap 'sleep 0.8; echo cleaned' TERM; echo begun; sleep 600 & wait\"\n"
    result = run_script("shell", tmp_path, text, timeout=0.4, supervision=Supervision(grace=20))
    assert (result.status, result.stdout) == ("timed_out", "begun\ncleaned\n")


def test_a_stopped_child_is_ended_too(tmp_path: Path) -> None:
    result = run_script(
        "shell", tmp_path, "echo begun\nkill -STOP $$\n", timeout=0.5, supervision=Supervision(grace=20)
    )
    assert (result.status, result.stdout) == ("timed_out", "begun\n")


def test_a_line_that_nobody_reads_does_not_stop_the_deadline(tmp_path: Path) -> None:
    result = run_script("executable", tmp_path, SLEEP["executable"], BIG, timeout=0.5, supervision=Supervision(grace=1))
    assert result.status == "timed_out"


def test_what_a_child_leaves_in_its_group_is_ended_with_it(tmp_path: Path) -> None:
    text = "sleep 600 >/dev/null 2>&1 &\necho $!\n"
    result = run_script("shell", tmp_path, text)
    assert result.status == "succeeded"
    wait_until(lambda: not alive(int(result.stdout)), "the end of what it had left")


def test_a_grandchild_that_holds_the_pipes_open_does_not_hold_the_execution(tmp_path: Path) -> None:
    started = time.monotonic()
    result = run_script("shell", tmp_path, "sleep 600 &\necho $!\n", timeout=60)
    assert (result.status, time.monotonic() - started < 10) == ("succeeded", True)
    wait_until(lambda: not alive(int(result.stdout)), "the end of what it had left")


def test_output_that_passes_through_a_process_substitution_is_not_lost(tmp_path: Path) -> None:
    result = run_script("shell", tmp_path, "exec > >(sleep 0.2; cat)\necho through\n")
    assert result.stdout == "through\n"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_cancellation_ends_the_child(tmp_path: Path, runtime: str) -> None:
    cancellation = Cancellation()
    timer = threading.Timer(0.4, cancellation.cancel)
    timer.start()
    result = run_script(
        runtime,
        tmp_path,
        SLEEP[language(runtime)],
        supervision=Supervision(grace=20, cancellation=cancellation),
    )
    timer.join()
    cancellation.close()
    assert (result.status, result.stdout, result.error and result.error["type"]) == (
        "cancelled",
        "begun\n",
        "cancelled",
    )


def test_a_cancellation_before_the_start_ends_it_at_once() -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    cancellation.cancel()
    cancellation.close()
    cancellation.close()
    assert cancellation.requested


def test_an_interruption_of_the_supervisor_leaves_nothing(tmp_path: Path) -> None:
    class Alarm(BaseException):
        """As Celery's soft limit: not an Exception that something in between may catch."""

    def interrupt(*_: object) -> None:
        raise Alarm

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(Alarm):
            run_script("shell", tmp_path, f"echo $$ > {tmp_path}/pid; trap '' TERM; sleep 600\n")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not alive(int((tmp_path / "pid").read_text()))


def test_no_descriptor_and_no_folder_is_left_in_the_worker(tmp_path: Path) -> None:
    def open_descriptors() -> int:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    run_script("shell", tmp_path, "true")
    before = open_descriptors()
    for text in ("true", "exit 3", "sleep 600"):
        run_script("shell", tmp_path, text, timeout=0.3, supervision=Supervision(grace=0.1))
    assert open_descriptors() == before


def test_a_signal_that_ends_a_child_is_named(tmp_path: Path) -> None:
    result = run_script("shell", tmp_path, "kill -SEGV $$")
    assert (result.status, result.exit_code, result.signal) == ("failed", None, "SIGSEGV")
    assert result.error == {"type": "killed_by_signal", "message": "the action was ended by SIGSEGV"}
    assert run_script("shell", tmp_path, "kill -40 $$").signal == "SIG40"


def test_invalid_utf8_is_shown_with_replacement_characters(tmp_path: Path) -> None:
    assert run_script("shell", tmp_path, "printf 'a\\377b\\303'").stdout == "a\ufffdb\ufffd"


def test_several_threads_run_children_at_once(tmp_path: Path) -> None:
    found: dict[int, str] = {}

    def work(number: int) -> None:
        found[number] = run_script(
            "shell", tmp_path, "pwd >/dev/null; get_secret n", {"n": str(number)}, name=str(number)
        ).stdout

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: str(number) for number in range(8)}


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        ("echo", 0o755, "shebang"),
        ("#!/bin/sh\n", 0o644, "chmod \\+x"),
        ("#!/no/such/interpreter\n", 0o755, "program could not be started in .*: No such file"),
    ],
)
def test_a_file_that_is_no_program_is_told(tmp_path: Path, content: str, mode: int, said: str) -> None:
    path = tmp_path / "program"
    path.write_text(content)
    path.chmod(mode)
    context = ExecutionContext(1, "a.b", code_path=path)
    with pytest.raises(StartError, match=said):
        ExecutableRuntime().execute(context)


def test_an_error_that_is_reported_with_its_variables_holds_no_value(tmp_path: Path) -> None:
    path = tmp_path / "program"
    path.write_text("#!/no/such/interpreter\n")
    path.chmod(0o755)
    context = ExecutionContext(1, "a.b", code_path=path, secrets={"key": "sk_live_in_a_frame"})
    with pytest.raises(StartError) as caught:
        ExecutableRuntime().execute(context)
    reported = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    text = "".join(reported.format())
    assert "SecretBytes(512 bytes)" in text, "the line is among the variables"
    assert "sk_live_in_a_frame" not in text


def test_a_timeout_ends_the_process_group_where_there_is_no_proc(tmp_path: Path) -> None:
    # As on macOS: nothing tells the launcher what is below it.
    code = (
        "import ctypes, json, os, sys\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "ids = {'uid': os.geteuid(), 'gid': os.getegid()}\n"
        "assert libc.unshare(0x20000 | (0x10000000 if ids['uid'] else 0)) == 0, ctypes.get_errno()\n"
        "if ids['uid']:\n"  # its own user namespace, in which it may mount
        "    open('/proc/self/setgroups', 'w').write('deny')\n"
        "    for kind, number in ids.items():\n"
        "        open(f'/proc/self/{kind}_map', 'w').write(f'{number} {number} 1')\n"
        "assert libc.mount(b'none', b'/', None, 0x44000, None) == 0\n"
        "assert libc.mount(b'none', b'/proc', b'tmpfs', 0, None) == 0, ctypes.get_errno()\n"
        "from pathlib import Path\n"
        "from attune_tasks.process import Supervision\n"
        "from tests.runs import run_script\n"
        "text = 'echo $$ > pids; sleep 600 & echo $! >> pids; wait'\n"
        "here = Path(sys.argv[1])\n"
        "supervision = Supervision(grace=5)\n"
        "result = run_script('shell', here, text, timeout=0.5, working_dir=here, supervision=supervision)\n"
        "print(json.dumps([result.status, result.signal, result.duration_ms]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    status, number, milliseconds = json.loads(done.stdout)
    assert (status, number) == ("timed_out", "SIGTERM")
    assert milliseconds < 4000, "it got the SIGTERM"
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2
    wait_until(lambda: not any(alive(pid) for pid in pids), "the end of its process group")


def test_no_grace_at_all_ends_a_child_at_once(tmp_path: Path) -> None:
    # The two words to the launcher come together: neither gets lost.
    launchers = Launchers(LaunchersPolicy(cgroup=False))
    supervision = Supervision(grace=0, launchers=launchers)
    for _ in range(8):
        result = run_script("shell", tmp_path, STUBBORN["shell"], timeout=0.2, supervision=supervision)
        assert (result.status, result.signal) == ("timed_out", "SIGKILL")
        assert result.duration_ms < 3000
    launchers.close()


@pytest.mark.parametrize("resists", ["exit 0", "trap '' TERM; wait"])
def test_a_talkative_action_that_stops_its_launcher_is_over_in_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, resists: str
) -> None:
    launchers = Launchers(LaunchersPolicy(cgroup=False))
    text = (
        "launcher=$PPID\n"
        "(trap '' TERM; while :; do echo talking; sleep 0.05; kill -STOP $launcher; done) &\n"
        f"sleep 0.2\n{resists}\n"
    )
    supervision = Supervision(grace=0.5, launchers=launchers)
    with caplog.at_level(logging.WARNING, "attune_tasks.process"):
        result = run_script("shell", tmp_path, text, timeout=6.0, supervision=supervision)
    if resists != "exit 0":  # else it may be heard of between two stops
        name = f"execution {result.execution_id} of tests.action"
        assert caplog.messages == [f"{name}: its launcher does not kill it, and is killed itself"]
    assert result.stdout.startswith("talking\n")
    assert result.duration_ms < 5500, "not only at its deadline"
    launchers.close()


def test_a_cancellation_after_the_exit_leaves_what_is_left_its_grace_and_the_exit_counts(tmp_path: Path) -> None:
    cancellation = Cancellation()
    begun = tmp_path / "begun"
    text = (
        "(trap 'sleep 0.3; echo cleaned; exit' TERM; echo begun; touch ready; while :; do sleep 0.05; done) &\n"
        f"until [ -e ready ]; do sleep 0.01; done; echo $$ >{begun}.new; mv {begun}.new {begun}\n"
    )

    def cancel_after_exit() -> None:
        wait_until(begun.exists, "the action's last line")
        child = Path("/proc", begun.read_text().strip())
        wait_until(lambda: not child.exists(), "the action's end")
        cancellation.cancel()

    supervision = Supervision(grace=20, cancellation=cancellation)
    canceller = threading.Thread(target=cancel_after_exit)
    canceller.start()
    result = run_script("shell", tmp_path, text, supervision=supervision)
    canceller.join()
    cancellation.close()
    assert (result.status, result.stdout) == ("succeeded", "begun\ncleaned\n")
