"""Launchers: when there is a new one and when not, and what one holds: no environment, no thread, no secret."""

from __future__ import annotations

import dataclasses
import os
import pwd
import re
import secrets
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from attune_tasks.confinement import Confinement
from attune_tasks.context import ExecutionRequest
from attune_tasks.errors import StartError
from attune_tasks.process import Launcher, Launchers, LauncherSpec, LaunchersPolicy, Program, Supervision, run_program
from attune_tasks.process.orphans import LAUNCHERS, ORPHANAGE
from tests.processes import alive, children, folders_of, mentions, status_of
from tests.runs import RUNTIMES, run_script
from tests.unit.test_executor import KEY, Project
from tests.waiting import wait_until

SPEC = LauncherSpec("billing", sys.executable)
LOOKED_INTO = LaunchersPolicy(undumpable=os.geteuid() == 0)
"""For launchers into which a test looks, which only root may do where they are undumpable."""
OWN_NAME = next((entry.pw_name for entry in pwd.getpwall() if entry.pw_uid == os.geteuid()), None)
"""The name that any user may give as ``run_as``; None: this user has none."""


def launchers_of_this_process() -> list[int]:
    found = []
    for pid in children(os.getpid()):
        try:
            if b"attune_launcher.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
        except FileNotFoundError:
            continue
    return found


@pytest.fixture
def launchers() -> Iterator[Launchers]:
    made = Launchers(LaunchersPolicy(per_slot=2, renew_after=3))
    yield made
    made.close()


def use(launchers: Launchers, spec: LauncherSpec = SPEC, *, single_use: bool = False) -> int:
    """Run one program by a launcher; give the launcher's pid."""
    with launchers.launcher(spec, single_use=single_use) as launcher:
        run_true(launcher)
        return launcher.pid


def run_true(launcher: Launcher) -> None:
    outcome = run_program(launcher, Program(["/bin/true"], {}, b"{}\n"), Supervision())
    assert outcome.return_code == 0


def test_one_is_made_when_it_is_needed_and_kept_for_the_next(launchers: Launchers) -> None:
    before = launchers_of_this_process()
    assert use(launchers) == use(launchers)
    assert len(launchers_of_this_process()) == len(before) + 1


def test_forgotten_ones_may_be_ended_by_the_thread_that_starts_another(launchers: Launchers) -> None:
    """As the garbage collector does it, in the midst of anything."""
    use(launchers)
    done = threading.Event()

    def start() -> None:
        with ORPHANAGE, LAUNCHERS.starting():
            launchers.close()
        done.set()

    threading.Thread(target=start, daemon=True).start()
    assert done.wait(20), "the thread waits for itself"


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other", "pack": "/packs/other"},
        {"content": "changed"},
        {"interpreter": f"{Path(sys.executable).parent}/../bin/{Path(sys.executable).name}"},
        *([{"run_as": OWN_NAME}] if OWN_NAME else []),
        {"preload": ("json",)},
    ],
    ids=str,
)
def test_one_is_never_shared_between_specs_that_differ(launchers: Launchers, change: dict[str, object]) -> None:
    first = use(launchers)
    other = dataclasses.replace(SPEC, **change)  # type: ignore[arg-type]
    assert use(launchers, other) != first
    assert use(launchers) == first, "and the first is still there"


def test_the_one_used_least_recently_is_ended_when_there_are_too_many(launchers: Launchers) -> None:
    a, b, c = (dataclasses.replace(SPEC, name=name) for name in "abc")
    first, second = use(launchers, a), use(launchers, b)
    use(launchers, a)
    third = use(launchers, c)
    assert [alive(first), alive(second), alive(third)] == [True, False, True]
    assert use(launchers, a) == first


def test_a_second_slot_keeps_as_many_again(launchers: Launchers) -> None:
    specs = [dataclasses.replace(SPEC, name=name) for name in "abcde"]
    with launchers.launcher(specs[0]) as one, launchers.launcher(specs[0]) as two:
        assert one.pid != two.pid, "one execution at a time for each"
    pids = [one.pid, two.pid, *(use(launchers, spec) for spec in specs[1:])]
    assert [alive(pid) for pid in pids] == [False, False, True, True, True, True]


def test_one_is_renewed_after_so_many_executions(launchers: Launchers) -> None:
    pids = [use(launchers) for _ in range(7)]
    assert (len(set(pids[:3])), len(set(pids[3:6])), len(set(pids))) == (1, 1, 3)
    assert [alive(pid) for pid in (pids[0], pids[3])] == [False, False]


@pytest.mark.parametrize("at", ["before it cleans up", "when it is ready"])
def test_one_that_has_ended_is_replaced_and_its_folder_goes(at: str, launchers: Launchers) -> None:
    with launchers.launcher(SPEC) as launcher:
        run_true(launcher)
    if at == "when it is ready":
        wait_until(lambda: folders_of(launcher) == [launcher.folder], "the next private folder")
    else:
        Path(launcher._folder(0)).mkdir(exist_ok=True)
    os.kill(launcher.pid, signal.SIGKILL)
    wait_until(lambda: not alive(launcher.pid), "its end")
    assert folders_of(launcher)
    assert use(launchers) != launcher.pid
    assert not folders_of(launcher)


def test_one_that_was_stopped_while_idle_goes_on_when_it_is_needed(launchers: Launchers) -> None:
    first = use(launchers)
    os.kill(first, signal.SIGSTOP)
    wait_until(lambda: status_of(first)["State"].startswith("T"), "its stop")
    assert use(launchers) == first


def test_a_message_larger_than_its_socket_does_not_wait_for_ever(
    launchers: Launchers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("attune_tasks.process.launcher._SEND_SECONDS", 1)
    with launchers.launcher(SPEC) as launcher:
        run_true(launcher)
        os.kill(launcher.pid, signal.SIGSTOP)
        program = Program(["/bin/true"], {str(n): "x" * 100_000 for n in range(10)}, b"{}\n")
        with pytest.raises(StartError, match="the launcher of billing is gone"):
            run_program(launcher, program, Supervision())
    assert not alive(launcher.pid)


def test_a_launcher_for_one_execution_is_new_and_ends_with_it(launchers: Launchers) -> None:
    kept = use(launchers)
    single = use(launchers, single_use=True)
    assert (single != kept, alive(single), alive(kept)) == (True, False, True)


def test_close_ends_those_that_wait_and_later_those_in_use(launchers: Launchers) -> None:
    waiting = use(launchers, dataclasses.replace(SPEC, name="a"))
    with launchers.launcher(SPEC) as launcher:
        run_true(launcher)
        launchers.close()
        assert [alive(waiting), alive(launcher.pid)] == [False, True]
    assert not alive(launcher.pid)


def test_those_that_are_forgotten_end() -> None:
    made = Launchers()
    pid = use(made)
    assert alive(pid)
    del made
    wait_until(lambda: not alive(pid), "its end")


def test_a_forked_process_leaves_its_parents_launchers_alone_and_makes_its_own(launchers: Launchers) -> None:
    first = use(launchers)
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.write(writer, str(use(launchers)).encode())
            launchers.close()
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    with os.fdopen(reader) as told:
        other = int(told.read())
    assert (other != first, alive(other), alive(first)) == (True, False, True)
    assert use(launchers) == first


def test_one_ends_with_its_process_though_a_forked_copy_holds_its_socket() -> None:
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            kept = Launchers()
            launcher = use(kept)
            copy = os.fork()
            if not copy:
                os.close(writer)
                signal.pause()
            os.write(writer, f"{launcher} {copy}".encode())
            os.close(writer)
            signal.pause()
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as told:
        launcher, copy = map(int, told.read().split())
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    try:
        wait_until(lambda: not alive(launcher), "its end")
        assert alive(copy)
    finally:
        os.kill(copy, signal.SIGKILL)


def test_what_has_ended_in_a_launcher_for_two_threads_is_two_launchers(launchers: Launchers) -> None:
    pids: list[int] = []
    barrier = threading.Barrier(2)

    def work() -> None:
        with launchers.launcher(SPEC) as launcher:
            barrier.wait(10)
            pids.append(launcher.pid)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(pids)) == 2


def test_its_environment_is_empty_it_has_one_thread_and_its_own_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted")
    launchers = Launchers(LOOKED_INTO)
    with launchers.launcher(SPEC) as launcher:
        run_true(launcher)
        pid = launcher.pid
        assert Path(f"/proc/{pid}/environ").read_bytes() == b""
        assert status_of(pid)["Threads"] == "1"
        assert (os.getsid(pid), str(Path(f"/proc/{pid}/cwd").readlink())) == (pid, "/")
        assert b"billing" in Path(f"/proc/{pid}/cmdline").read_bytes(), "ps shows whose it is"
        opened = sorted(str(path.readlink()).split(":")[0] for path in Path(f"/proc/{pid}/fd").iterdir())
        guardian = "anon_inode"
        assert set(opened) == {"/dev/null", "socket", "pipe", guardian}
        assert opened.count("socket") == 1
    launchers.close()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_it_holds_no_secret_after_many_executions(tmp_path: Path, runtime: str) -> None:
    launchers = Launchers(LOOKED_INTO)
    value = secrets.token_hex(24)
    text = {
        "python": "def run(params):\n    return len(get_secret('key'))\n",
        "shell": "get_secret -v key key\nset_result ${#key}\n",
        "executable": '#!/bin/bash\nread -r line\necho \'{"type":"result","value":48}\' >&3\n',
    }[runtime.partition("-")[0]]
    for _ in range(20):
        result = run_script(runtime, tmp_path, text, {"key": value}, supervision=Supervision(launchers=launchers))
        assert (result.status, result.result) == ("succeeded", 48), result
    (launcher,) = launchers._idle
    assert launcher.executions >= 20
    assert mentions(launcher.pid, "attune_launcher") > 0, "the look sees its memory"
    assert mentions(launcher.pid, value) == 0
    assert mentions(launcher.pid, value[:16]) == 0
    launchers.close()


def test_a_secret_planted_in_a_launcher_is_found(tmp_path: Path) -> None:
    launchers = Launchers(LOOKED_INTO)
    value = secrets.token_hex(24)
    text = "import os\ndef run(params):\n    pass\n"
    run_script("python", tmp_path, text, env={"PLANTED": value}, supervision=Supervision(launchers=launchers))
    (launcher,) = launchers._idle
    assert mentions(launcher.pid, value) > 0, "what legacy_env puts there: so its launchers serve once"
    launchers.close()


def test_legacy_env_gets_a_launcher_of_its_own_and_all_other_actions_share(tmp_path: Path) -> None:
    shop = Project(tmp_path)
    declared = "secrets:\n  key: api#key\n"
    parent = "import os\ndef run(params):\n    return os.getppid()\n"
    shop.action("old", parent, declared + "legacy_env: true\n")
    shop.action("new", parent, declared)
    shop.action("script", 'set_result "$PPID"\n', declared, runner="shell")
    looked_into = {"undumpable": LOOKED_INTO.undumpable}
    executor = shop.executor(secrets={"allow_legacy_env": True}, launchers=looked_into)

    def parent_of(name: str) -> int:
        result = executor.execute(ExecutionRequest(1, f"shop.{name}"))
        assert result.succeeded, result
        return int(result.result)

    kept = {parent_of("new"), parent_of("script"), parent_of("new")}
    assert len(kept) == 1
    legacy = [parent_of("old"), parent_of("old")]
    assert len({*kept, *legacy}) == 3
    assert [alive(pid) for pid in (*legacy, *kept)] == [False, False, True]
    (launcher,) = executor._launchers._idle
    assert mentions(launcher.pid, KEY) == 0
    executor.close()


def test_the_next_private_folder_is_ready_is_private_and_goes_when_idle_or_closed(launchers: Launchers) -> None:
    with launchers.launcher(SPEC) as launcher:
        for _ in range(2):
            run_true(launcher)
            wait_until(lambda: folders_of(launcher) == [launcher.folder], "the next private folder")
            assert Path(launcher.folder).stat().st_mode & 0o777 == 0o700
        wait_until(lambda: not folders_of(launcher), "its end in an idle launcher")
        run_true(launcher)
        wait_until(lambda: folders_of(launcher), "the next private folder")
    launchers.close()
    assert not folders_of(launcher)


def test_the_name_of_the_next_private_folder_does_not_follow_from_that_of_this_one(launchers: Launchers) -> None:
    with launchers.launcher(SPEC) as launcher:
        names = [Path(launcher._folder(number)).name.removeprefix("attune-") for number in range(256)]
    assert len({name[:8] for name in names}) == len({name[8:] for name in names}) == 256
    assert {len(name) for name in names} == {16}


TAKE = """
import os
def run(params):
    next = params["next"]
    if params["how"] == "gone":
        os.rmdir(os.getcwd())
        return []
    for name in [next] if params["how"] else []:
        os.path.isdir(name) and os.rmdir(name)
        if params["how"] == "link":
            os.symlink(params["victim"], name)
        elif params["how"] == "folder":
            os.makedirs(name + "/a/b")
            os.symlink(params["victim"], name + "/a/link")
            os.chmod(name + "/a", 0o500)
        elif params["how"] == "file":
            open(name, "w").close()
    return os.listdir()
"""


def test_what_an_action_puts_in_place_of_the_next_private_folder_does_no_harm(tmp_path: Path) -> None:
    launchers = Launchers()
    supervision = Supervision(launchers=launchers)
    victim = tmp_path / "victim"
    victim.mkdir(mode=0o750)
    (victim / "file").touch()
    run_script("python", tmp_path, "")
    for how in ("", "link", "folder", "file", "gone", "link", ""):
        following = launchers._idle[0]._folder(launchers._idle[0].executions + 1) if launchers._idle else "/none"
        parameters = {"how": how, "victim": str(victim), "next": following}
        result = run_script("python", tmp_path, TAKE, parameters=parameters, supervision=supervision)
        assert (result.status, result.result) == ("succeeded", []), (how, result)
    assert launchers._idle[0].executions == 7
    assert sorted(path.name for path in victim.iterdir()) == ["file"]
    assert victim.stat().st_mode & 0o777 == 0o750
    launchers.close()


def test_a_worker_that_removes_for_its_launcher_follows_no_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    (victim / "inner").mkdir(parents=True, mode=0o750)
    (victim / "inner" / "file").touch()
    victim.chmod(0o750)
    text = f"""
import os, signal
def run(params):
    here = os.getcwd()
    print(here, flush=True)
    if params["whole"]:
        os.rmdir(here)
        os.symlink({str(victim)!r}, here)
    else:
        os.symlink({str(victim)!r}, "link")
        os.makedirs("deep/er")
        os.symlink({str(victim)!r}, "deep/er/link")
    os.kill(os.getppid(), signal.SIGKILL)
    signal.pause()
"""
    for whole in (True, False):
        result = run_script("python", tmp_path, text, parameters={"whole": whole})
        assert result.error is not None
        assert result.error["type"] == "launcher_lost"
        assert not os.path.lexists(result.stdout.strip())
        assert [path.stat().st_mode & 0o777 for path in (victim, victim / "inner")] == [0o750, 0o750]
        assert (victim / "inner" / "file").exists()


@pytest.mark.parametrize("runtime", ["python", "shell"])
def test_a_private_folder_goes_whatever_is_in_it(tmp_path: Path, runtime: str) -> None:
    text = {
        "shell": "pwd; p=a; for i in {1..150}; do mkdir $p; cd $p; touch file; ln -s / root; done; chmod 0 ."
        " && cd / && chmod 0500 $TMPDIR/a/a/a && mkfifo $TMPDIR/fifo && ln -s /nowhere $TMPDIR/broken\n",
        "python": "import os\nprint(os.getcwd())\nfor n in range(3000):\n    os.mkdir('deep')\n    os.chdir('deep')\n",
    }[runtime]
    result = run_script(runtime, tmp_path, text)
    assert result.status == "succeeded", result
    folder = result.stdout.strip()
    assert folder.startswith(tempfile.gettempdir())
    wait_until(lambda: not os.path.lexists(folder), "the end of a private folder")


# A preload which says something to the worker by the launcher's socket: at once, and once an execution runs.
LIAR = """
import _thread, os, time
def say(text):
    while text:
        text = text[os.write(16, text):]
def lie():
    while not open("/proc/self/task/%d/children" % os.getpid()).read():
        time.sleep(0.005)
    say(LATER)
    open(HEARD, "w").close()
say(AT_ONCE)
if LATER:
    _thread.start_new_thread(lie, ())
"""
LIES = {
    "no line": b"x" * (1 << 20),
    "a huge number": b"exited " + b"9" * 5000 + b" -\ngone -\n",
    "no pids": b"gone 1:2:3,x,-1:4,9:-\n",
    "no error number": b"failed 99999999999999999999 -\n",
    "an unknown error": b"failed 123456789 -\n",
    "no text": b"\xff\n" * 9,
    "no status": b"exited 123456789 -\n",
}


def lied_to(folder: Path, launchers: Launchers, at_once: bytes = b"", later: bytes = b"") -> str:
    """Run an action whose launcher says that; give how it ended, or why it did not start."""
    (folder / "lib").mkdir()
    heard = folder / "heard"
    liar = LIAR.replace("AT_ONCE", repr(at_once)).replace("LATER", repr(later)).replace("HEARD", repr(str(heard)))
    (folder / "lib" / "liar.py").write_text(liar)
    text = f"until [[ -e {heard} ]]; do sleep 0.01; done\n" if later else "true\n"
    try:
        result = run_script(
            "shell",
            folder,
            text,
            pack_path=folder,
            supervision=Supervision(launchers=launchers, grace=0.2),
            confinement=Confinement(preload=("liar",)),
            timeout=20.0,
        )
    except StartError as error:
        return str(error)
    assert result.left_behind == ()
    return f"{result.status} {result.error['type']}" if result.error else result.status


@pytest.mark.parametrize(
    ("lie", "ended"),
    [
        ("no line", "error launcher_lost"),
        ("a huge number", "succeeded"),
        ("no pids", "error launcher_lost"),
        ("no error number", r"\S+bash could not be started in \S+: the launcher can't fork \(-\)"),
        ("an unknown error", r"\S+bash could not be started in \S+: Unknown error 123456789"),
        ("no text", "succeeded"),
        ("no status", "failed killed_by_signal"),
    ],
)
def test_a_launcher_that_says_what_it_likes_can_only_make_up_its_own_executions_end(
    tmp_path: Path, launchers: Launchers, lie: str, ended: str
) -> None:
    assert re.fullmatch(ended, lied_to(tmp_path, launchers, later=LIES[lie]))
    assert run_script("shell", tmp_path, "echo fine", supervision=Supervision(launchers=launchers)).stdout == "fine\n"


@pytest.mark.parametrize("lie", LIES)
def test_what_a_launcher_says_before_it_is_asked_ends_nothing(tmp_path: Path, launchers: Launchers, lie: str) -> None:
    ended = lied_to(tmp_path, launchers, at_once=LIES[lie])
    if lie == "no line":
        assert ended.startswith("the launcher of tests did not start: see that ")
    else:
        assert ended == "succeeded"
