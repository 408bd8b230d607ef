"""Programs that are started ahead: which execution has one, that it runs as a fresh one does, and whoever dies."""

from __future__ import annotations

import gc
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attune_tasks.context import ExecutionContext
from attune_tasks.ids import new_execution_id
from attune_tasks.process import Cancellation, Launcher, Launchers, LaunchersPolicy, Supervision
from attune_tasks.result import ExecutionResult
from attune_tasks.runtimes import ShellRuntime
from attune_tasks.runtimes.base import CHILD
from attune_tasks.wire import encode_secrets, encode_variables
from tests.processes import alive, children, folders_of
from tests.runs import run_script, stands_by, waiting_program
from tests.waiting import wait_until

PID = "set_result $$\n"


@pytest.fixture
def launchers() -> Iterator[Launchers]:
    made = Launchers()
    yield made
    made.close()


class Place:
    """A script, and the launchers that run it."""

    def __init__(self, folder: Path, launchers: Launchers) -> None:
        """Write it into `folder`."""
        self.script = folder / "action.sh"
        self.script.write_text(PID)
        self.launchers = launchers

    @property
    def launcher(self) -> Launcher:
        """The launcher that was used last."""
        return self.launchers._idle[-1]

    def context(self, **more: Any) -> ExecutionContext:
        """Give the context of one execution."""
        return ExecutionContext(
            **{
                "execution_id": new_execution_id(),
                "action_ref": "tests.action",
                "code_path": self.script,
                "timeout": 30.0,
                **more,
            }
        )

    def run(self, supervision: Supervision | None = None, **more: Any) -> ExecutionResult:
        """Run one."""
        return ShellRuntime().execute(self.context(**more), supervision or Supervision(launchers=self.launchers))

    def waits(self, text: str = PID, **more: Any) -> int:
        """Have a program wait, whose script is then `text`; give its pid."""
        self.script.write_text(PID)
        assert stands_by(self.context(**more), self.launchers)
        self.script.write_text(text)
        return waiting_program(self.launchers)


@pytest.fixture
def place(tmp_path: Path, launchers: Launchers) -> Place:
    return Place(tmp_path, launchers)


def test_in_a_burst_the_next_execution_has_what_was_started_ahead(place: Place) -> None:
    pid = place.waits()
    used, folder = place.launcher.standby.used, place.launcher.folder
    place.script.write_text('echo "$PWD|$TMPDIR"; set_result $$\n')
    result = place.run()
    assert (result.status, result.result, result.stdout) == ("succeeded", pid, f"{folder}|{folder}\n")
    assert place.launcher.standby.used == used + 1
    wait_until(lambda: not os.path.lexists(folder), "the end of its folder")


def test_the_variant_of_the_runtimes_does_run_by_a_standby(tmp_path: Path, launchers: Launchers) -> None:
    for _ in range(5):  # it falls back to a fresh one on a machine that stalls for a second
        used = launchers._idle[-1].standby.used if launchers._idle else 0
        supervision = Supervision(launchers=launchers)
        assert run_script("shell-standby", tmp_path, "echo hi\n", {"a": "b"}, supervision=supervision).stdout == "hi\n"
        assert Path(f"/proc/{launchers._idle[-1].pid}").exists()
        if launchers._idle[-1].standby.used > used:
            return
    pytest.fail("it never did")


def test_an_execution_that_is_alone_starts_nothing_ahead(place: Place) -> None:
    place.run()
    wait_until(lambda: folders_of(place.launcher) == [place.launcher.folder], "the next private folder")
    assert waiting_program(place.launchers) == 0
    wait_until(lambda: not folders_of(place.launcher), "the end of the burst")
    time.sleep(0.1)
    place.run()
    wait_until(lambda: folders_of(place.launcher) == [place.launcher.folder], "the next private folder")
    assert waiting_program(place.launchers) == 0, "the second came too late for a burst"


@pytest.mark.parametrize(
    "more",
    [
        {"env": {"OTHER": "1"}},
        {"secrets": {"long": "x" * 600}},
        {"code_path": None, "code": PID},
        {"working_dir": "/"},
        {"action_ref": "tests.other"},
        {"env": {"BASH_ENV": "/dev/null"}},
        {"parameters": {"long": "x" * 20_000}},
    ],
    ids=", ".join,
)
def test_another_execution_gets_a_fresh_one_and_what_waited_is_gone(place: Place, more: dict[str, Any]) -> None:
    pid = place.waits()
    launcher = place.launcher
    result = place.run(**more)
    assert (result.status, place.launcher) == ("succeeded", launcher)
    assert result.result != pid
    assert not alive(pid)


def test_executions_of_two_programs_by_turns_start_nothing_ahead(place: Place) -> None:
    for _ in range(3):
        for env in ({"A": "1"}, {"A": "2"}):
            place.run(env=env)
            assert place.launcher.standby._pipes is None


@pytest.mark.parametrize("name", ["BASH_ENV", "BASH_FUNC_read%%", "SHELLOPTS", "LD_LIBRARY_PATH", "ENV"])
def test_what_a_variable_does_at_the_very_start_is_not_done_ahead(place: Place, name: str) -> None:
    for _ in range(3):
        assert place.run(env={name: "x"}).status == "succeeded"
        assert place.launcher.standby._pipes is None


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    launchers = Launchers(LaunchersPolicy(standby=False))
    place = Place(tmp_path, launchers)
    for _ in range(4):
        place.run()
        assert place.launcher.standby._pipes is None
    assert place.launcher.standby.used == 0
    launchers.close()


def test_a_second_later_nothing_waits_and_no_folder_is_there(place: Place) -> None:
    pid = place.waits()
    wait_until(lambda: not alive(pid), "its end")
    wait_until(lambda: not folders_of(place.launcher), "the end of its folder")
    assert children(place.launcher.pid) == []
    result = place.run()
    assert (result.status, place.launcher.standby.used) == ("succeeded", 0)


def test_a_worker_that_has_not_noticed_the_end_of_what_waited_starts_a_fresh_one(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = place.waits('echo "$(get_secret a)"; cat; set_result $$\n', secrets={"a": "hunter2"})
    wait_until(lambda: not alive(pid), "its end")
    wait_until(lambda: not folders_of(place.launcher), "the end of its folder")
    monkeypatch.setattr("attune_tasks.process.standby._is_read", lambda _: True)
    before, launcher = opened(), place.launcher
    result = place.run(secrets={"a": "hunter2"})
    assert (result.status, result.stdout) == ("succeeded", "hunter2\n")
    assert result.result not in {0, pid}
    assert opened() <= before, "the first pipes are closed"
    assert place.run(secrets={"a": "hunter2"}).status == "succeeded"
    assert place.launcher is launcher, "both count alike"


def test_one_that_is_cancelled_before_it_turns_out_that_nothing_waits_is_over(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = place.waits("touch begun; sleep 600\n")
    wait_until(lambda: not alive(pid), "its end")
    monkeypatch.setattr("attune_tasks.process.standby._is_read", lambda _: True)
    with Stopped(place.launcher):
        result = place.run(timeout=0.2)  # at its deadline the launcher is continued
    assert result.status == "timed_out", result
    assert result.duration_ms < 5000


class Stopped:
    """A launcher that is stopped for a while."""

    def __init__(self, launcher: Launcher) -> None:
        """Stop it."""
        self._pid = launcher.pid
        os.kill(self._pid, signal.SIGSTOP)
        wait_until(lambda: Path(f"/proc/{self._pid}/stat").read_text().split()[2] == "T", "its stop")

    def resume(self) -> None:
        """Continue it."""
        os.kill(self._pid, signal.SIGCONT)

    def __enter__(self) -> Self:
        """Give it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Continue it in any case."""
        if alive(self._pid):
            self.resume()


def test_one_that_has_ended_before_its_launcher_knows_that_it_began_is_told_right(place: Place) -> None:
    pid = place.waits("echo $$; exit 7\n")
    with Stopped(place.launcher) as stopped, ThreadPoolExecutor(1) as pool:
        future = pool.submit(place.run)
        wait_until(lambda: not alive(pid), "its end")
        stopped.resume()
        result = future.result()
    assert (result.exit_code, result.stdout) == (7, f"{pid}\n")


def test_one_that_is_needed_in_the_moment_in_which_it_is_given_up_runs_once(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("attune_tasks.process.launcher.STANDBY_SECONDS", 0.03)
    place.script.write_text(f"echo $$ >> {tmp_path}/ran\n")
    moment = random.Random(1)  # noqa: S311 - not for secrets
    for _ in range(100):
        result = place.run()
        assert (result.status, result.stderr) == ("succeeded", ""), result
        time.sleep(0.025 + moment.random() * 0.01)
    assert len((tmp_path / "ran").read_text().split()) == 100


def test_after_kill_9_of_what_waits_the_next_one_is_fresh(place: Place) -> None:
    pid = place.waits()
    launcher = place.launcher
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid), "its end")
    result = place.run()
    assert result.status == "succeeded"
    assert result.result != pid
    assert place.launcher is launcher


def test_after_kill_9_of_its_launcher_what_waits_ends_with_the_next_execution(place: Place) -> None:
    pid, launcher = place.waits(), place.launcher
    os.kill(launcher.pid, signal.SIGKILL)
    wait_until(lambda: not alive(launcher.pid), "its end")
    result = place.run()
    assert result.status == "succeeded"
    assert result.result != pid
    wait_until(lambda: not alive(pid), "its end")
    assert not folders_of(launcher)


@pytest.mark.parametrize("end", ["close", "forgotten"])
def test_what_waits_ends_with_its_launchers(tmp_path: Path, end: str) -> None:
    launchers = Launchers()
    place = Place(tmp_path, launchers)
    pid, launcher = place.waits(), place.launcher
    if end == "close":
        launchers.close()
    else:
        del launchers, place
        gc.collect()
    wait_until(lambda: not alive(pid) and not folders_of(launcher), "its end")


@pytest.mark.parametrize("also_the_launcher", [False, True])
def test_what_waits_ends_with_its_worker(tmp_path: Path, also_the_launcher: bool) -> None:  # noqa: FBT001
    code = (
        "import sys, time; from pathlib import Path; from attune_tasks.process import Launchers\n"
        "from tests.unit.test_process_standby import Place\n"
        "place = Place(Path(sys.argv[1]), Launchers())\n"
        "print(place.waits(), place.launcher.pid, place.launcher.folder, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        pid, launcher, folder = worker.stdout.readline().split()
        if also_the_launcher:
            os.kill(int(launcher), signal.SIGKILL)
        worker.kill()
    wait_until(lambda: not alive(int(pid)) and not alive(int(launcher)), "their end")
    if not also_the_launcher:
        assert not os.path.lexists(folder)
    elif os.path.lexists(folder):
        Path(folder).rmdir()


@pytest.mark.parametrize("how", ["deadline", "cancellation", "no grace"])
def test_it_is_ended_at_once_after_its_begin(place: Place, how: str) -> None:
    for _ in range(5):
        # exec: of a SIGTERM that comes between the fork and the exec of a command bash's copy makes nothing at times,
        # and that command then has the grace.
        pid = place.waits("exec sleep 600\n")
        cancellation = Cancellation()
        if how == "cancellation":
            cancellation.cancel()
        supervision = Supervision(
            grace=0 if how == "no grace" else 5, launchers=place.launchers, cancellation=cancellation
        )
        result = place.run(supervision, timeout=30.0 if how == "cancellation" else 0.001)
        cancellation.close()
        assert result.status == ("cancelled" if how == "cancellation" else "timed_out")
        assert result.signal in {"SIGTERM", "SIGKILL", None}
        assert result.duration_ms < 4000
        assert not alive(pid)
        assert children(place.launcher.pid) == [], "and none is started ahead after that"


def test_one_that_kills_its_launcher_ends_with_it(tmp_path: Path) -> None:
    launchers = Launchers(LaunchersPolicy(cgroup=False))
    place = Place(tmp_path, launchers)
    pid = place.waits("setsid sleep 600 & echo $!; kill -9 $PPID; sleep 600\n")
    launcher = place.launcher
    result = place.run()
    assert result.error is not None
    assert result.error["type"] == "launcher_lost"
    assert [alive(one) for one in (pid, int(result.stdout), launcher.pid)] == [False] * 3
    assert not folders_of(launcher)
    launchers.close()


def opened() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = opened()
    launchers = Launchers(LaunchersPolicy(renew_after=7))
    place = Place(tmp_path, launchers)
    for _ in range(20):
        place.run()
    pid = place.waits()
    assert opened() > before, "the look sees them"
    wait_until(lambda: not alive(pid), "its end")
    place.run()
    at_rest = opened()
    place.waits()
    place.run(env={"OTHER": "1"})
    assert opened() <= at_rest
    place.waits()
    launchers.close()
    assert opened() == before


def test_the_pipes_of_one_launcher_are_closed_a_second_later_by_the_use_of_another(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    other: dict[str, Any] = {"action_ref": "others.action"}
    place.run(**other)
    pid = place.waits()
    standby = place.launcher.standby
    wait_until(lambda: not alive(pid), "its end")
    place.run(**other)
    assert standby._pipes is None
    monkeypatch.setattr("attune_tasks.process.standby.STANDBY_SECONDS", 30)
    place.waits()
    standby = place.launcher.standby
    place.run(**other)
    assert standby._pipes is not None, "not before"


def test_a_forked_copy_of_the_worker_holds_no_standard_input_open(place: Place) -> None:
    place.waits("cat; echo end\n")
    reader, writer = os.pipe()
    copy = os.fork()
    if not copy:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    os.close(reader)
    used = place.launcher.standby.used
    try:
        result = place.run(timeout=5.0)
        assert (result.status, result.stdout) == ("succeeded", "end\n"), "cat has seen the end of it"
        assert place.launcher.standby.used == used + 1
    finally:
        os.close(writer)
        os.waitpid(copy, 0)


def test_what_waits_knows_nothing_and_parameters_are_in_no_environment_of_bash_itself(place: Place) -> None:
    more: dict[str, Any] = {"secrets": {"a": "hunter2hunter2"}, "parameters": {"city": "Zanzibar"}}
    text = 'tr "\\0" "\\n" </proc/$$/environ; echo --; env; get_secret a >/dev/null\n'
    pid = place.waits(text, **more)
    seen = Path(f"/proc/{pid}/environ").read_bytes()
    assert b"ATTUNE_ACTION=tests.action" in seen
    assert b"Zanzibar" not in seen
    assert b"ATTUNE_EXEC_ID" not in seen
    own, _, inherited = place.run(**more).stdout.partition("--\n")
    assert "Zanzibar" not in own
    assert "ATTUNE_ACTION_CITY=Zanzibar\n" in inherited
    assert "hunter2" not in own + inherited


# All that bash can tell of itself. What differs by nature is left out.
LOOK = r"""
declare -p | grep -vE ' (BASHPID|SECONDS|BASH_ARGV0|EPOCH[A-Z]*|RANDOM|SRANDOM|PPID|TMPDIR|PWD|ATTUNE_EXEC_ID|_)(=|$)'
declare -F; set -o; shopt; trap; umask; ulimit -a; jobs; hash 2>&1; alias; enable
[[ $PWD == "$TMPDIR" && $(pwd -P) == "$PWD" ]]; echo $?
echo "$0|$#|$*|$-|$SHLVL|${BASH_SOURCE[*]}|$LINENO|$SECONDS|${FUNCNAME[*]}|$!|$?"
ls -A; open=(/proc/$$/fd/*); echo "${open[@]##*/}"; mapfile -d '' words </proc/$$/cmdline; echo "${words[@]}"
mapfile -t status </proc/$$/status; printf '%s\n' "${status[@]}" | grep -E '^(Sig[BIC]|Umask|NoNew|Cap|Name|Seccomp)'
env | grep -v '^\(TMPDIR\|PWD\|ATTUNE_EXEC_ID\|_\)=' | sort
cat
"""


@pytest.mark.parametrize("secrets", [{}, {"s": "a\\b", "t": ""}], ids=["no secrets", "secrets"])
@pytest.mark.parametrize("locale", [{}, {"LC_ALL": "C.UTF-8"}, {"LANG": "C.UTF-8", "LC_NUMERIC": "C"}], ids=str)
def test_bash_tells_the_same_of_itself_as_a_fresh_one(
    place: Place, locale: dict[str, str], secrets: dict[str, str]
) -> None:
    more: dict[str, Any] = {
        "parameters": {"b": "x\n'\"\\é $(id)", "a": True, "empty": ""},
        "secrets": secrets,
        "env": {"EXTRA": "1", "TZ": "Asia/Tokyo", **locale},
    }
    pid = place.waits(LOOK, **more)
    ahead = place.run(**more)
    fresh = run_fresh(place, **more)
    assert (ahead.status, ahead.stderr) == ("succeeded", "")
    assert pid
    assert ahead.stdout.splitlines() == fresh.stdout.splitlines()
    assert "declare -x ATTUNE_ACTION_EMPTY=" in ahead.stdout


def run_fresh(place: Place, **more: Any) -> ExecutionResult:
    launchers = Launchers(LaunchersPolicy(standby=False))
    try:
        return place.run(Supervision(launchers=launchers), **more)
    finally:
        launchers.close()


def test_it_counts_its_seconds_from_its_begin(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attune_tasks.process.launcher.STANDBY_SECONDS", 30)
    monkeypatch.setattr("attune_tasks.process.standby.STANDBY_SECONDS", 30)
    pid = place.waits('echo "$SECONDS"; set_result $$\n')
    time.sleep(1.2)
    result = place.run()
    assert (result.result, result.stdout) == (pid, "0\n")
    assert result.duration_ms < 1000


def test_the_script_is_read_when_its_execution_begins(place: Place) -> None:
    pid = place.waits("echo old\n")
    place.script.write_text("echo new; set_result $$\n")
    result = place.run()
    assert (result.stdout, result.result) == ("new\n", pid)


CHANGES = (
    "planted=1; export PLANTED=1; cd /usr; umask 0; set +e -x -u; shopt -s nullglob; trap 'echo left' EXIT\n"
    "exec 7</dev/null 3>&1; ulimit -n 99; f() { :; }; alias a=b; unset HOME PATH; IFS=x; touch planted\n"
    "LC_ALL=C; readonly PLANTED; declare -i n; /bin/sleep 600 &\n"
)


def test_nothing_that_one_execution_does_is_seen_by_the_next(place: Place) -> None:
    look = (
        'echo "${planted-}${PLANTED-}|$(umask)|$-|$(shopt nullglob)|$(trap)|$HOME|$PATH|${#IFS}|$(ulimit -n)"\n'
        'declare -F; alias; ls -A; [[ $PWD == "$TMPDIR" ]]; ls /proc/$$/fd\n'
    )
    place.waits(look)
    before = place.run()
    place.waits(CHANGES)
    place.run()
    place.waits(look)
    used = place.launcher.standby.used
    after = place.run()
    assert place.launcher.standby.used == used + 1
    assert (after.status, after.stdout, after.stderr) == ("succeeded", before.stdout, "")


def test_parameters_by_standard_input_follow(place: Place) -> None:
    more: dict[str, Any] = {"secrets": {"a": "b"}, "parameters": {"x": "y\n"}, "parameter_delivery": "stdin"}
    pid = place.waits('cat; env | grep -c ATTUNE_ACTION_ || set_result "[$$]"\n', **more)
    result = place.run(**more)
    assert (result.stdout, result.result) == ('{"x": "y\\n"}\n0\n', [pid])


def test_executions_in_threads_are_apart(tmp_path: Path) -> None:
    launchers = Launchers()
    errors: list[str] = []

    def work(number: int) -> None:
        place = Place(tmp_path / str(number), launchers)
        place.script.write_text('set_result "\\"$ATTUNE_ACTION_N $(get_secret s)\\""\n')
        for count in range(15):
            result = place.run(parameters={"n": f"{number}-{count}"}, secrets={"s": f"s{number}"})
            if result.result != f"{number}-{count} s{number}":
                errors.append(str(result))

    for number in range(4):
        (tmp_path / str(number)).mkdir()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    launchers.close()
    assert errors == []


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
HOSTILE = st.text(st.sampled_from("$()`\"'\\ \n\t*?[]{};&|<>!#~%-=aàu0é🔑\x01\x7f\u0085"), max_size=30)


def test_any_parameter_comes_through_byte_for_byte(tmp_path: Path) -> None:
    place = Place(tmp_path, Launchers())
    show = 'printf %s "$ATTUNE_ACTION_ONE|$ATTUNE_ACTION_TWO" | od -An -v -tx1 | tr -d " \\n"\n'
    place.script.write_text(show)

    @settings(max_examples=80, deadline=None)
    @given(TEXT | HOSTILE, TEXT | HOSTILE)
    def check(one: str, two: str) -> None:
        result = place.run(parameters={"one": one, "two": two})
        assert (result.status, result.stdout) == ("succeeded", f"{one}|{two}".encode().hex()), result.stderr

    check()
    assert place.launcher.standby.used > 20
    place.launchers.close()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=700).map(lambda value: value.replace(b"\0", b"\\")), min_size=1, max_size=4))
def test_any_bytes_of_any_locale_come_through(values: list[bytes]) -> None:
    # As a worker in a locale like ja_JP.SJIS would write them, where a backslash's byte is the second of characters.
    variables = {f"V{number}": value for number, value in enumerate(values)}
    secrets = encode_secrets({"a": "b"})
    with tempfile.NamedTemporaryFile("w", suffix=".sh") as script:
        script.write("env -0; get_secret a; cat\n")
        script.flush()
        command = ["bash", "--noprofile", "--norc", "-c", '. "$1"', script.name, str(CHILD / "shell_wrapper.bash")]
        done = subprocess.run(
            [*command, str(len(secrets))],
            env={"ATTUNE_STANDBY": "1", "LC_ALL": "C", "PATH": os.environ["PATH"]},
            input=encode_variables(variables) + secrets + b"rest",
            capture_output=True,
            check=True,
        )
    *entries, rest = done.stdout.split(b"\0")
    assert (rest, done.stderr) == (b"brest", b"")
    shown = dict(entry.split(b"=", 1) for entry in entries)
    assert {name: shown[name.encode()] for name in variables} == variables
    assert b"ATTUNE_STANDBY" not in shown
