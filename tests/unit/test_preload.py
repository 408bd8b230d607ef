"""``preload``: what a pack's launcher imports once. Whatever such a module does, it stays with its pack."""

from __future__ import annotations

import logging
import os
import re
import secrets
import subprocess
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from attune_tasks.confinement import Confinement, Limits
from attune_tasks.context import ExecutionRequest
from attune_tasks.errors import StartError
from attune_tasks.process import Launchers, Supervision
from attune_tasks.result import ExecutionResult
from tests.processes import alive, carrying, status_of
from tests.runs import run_script
from tests.unit.test_executor import Project


@pytest.fixture
def launchers() -> Iterator[Launchers]:
    made = Launchers()
    yield made
    made.close()


class Pack:
    """A pack with one module to preload."""

    def __init__(self, folder: Path, launchers: Launchers) -> None:
        """Make its folders."""
        self.folder = folder
        self.launchers = launchers
        (folder / "lib").mkdir(parents=True)

    def module(self, text: str, name: str = "loaded") -> None:
        """Write the module that is preloaded."""
        (self.folder / "lib" / f"{name}.py").write_text(textwrap.dedent(text))

    def run(
        self,
        text: str,
        given: dict[str, str] | None = None,
        *names: str,
        runtime: str = "python",
        content: str = "",
        limits: Limits | None = None,
    ) -> ExecutionResult:
        """Run an action with `names`, or the module, preloaded."""
        return run_script(
            runtime,
            self.folder,
            textwrap.dedent(text),
            given,
            supervision=Supervision(launchers=self.launchers, grace=0.3),
            pack_path=self.folder,
            pack_content=content,
            confinement=Confinement(preload=names or ("loaded",), limits=limits or Limits()),
            timeout=20.0,
        )


@pytest.fixture
def pack(tmp_path: Path, launchers: Launchers) -> Pack:
    return Pack(tmp_path, launchers)


ABSENT = "import sys\ndef run(params):\n    return [name in sys.modules for name in ('loaded', 'decimal')]\n"
IS_FORK = "import os\ndef run(params):\n    return 'attune_launcher' in open('/proc/self/cmdline').read()\n"


def test_modules_installed_and_of_the_packs_lib_are_found_loaded(pack: Pack) -> None:
    pack.module("import os\nloader = os.getpid()\n")
    text = """
    import sys
    before = "loaded" in sys.modules, "decimal" in sys.modules
    import loaded, os
    def run(params):
        return [before, loaded.loader == os.getppid(), sys.path.count(os.path.dirname(loaded.__file__))]
    """
    assert pack.run(text, None, "loaded", "decimal").result == [[True, True], True, 1]
    assert pack.run(ABSENT).result == [True, False]
    assert pack.run(ABSENT, None, "json").result == [False, False], "the look sees what is not loaded"


def test_a_changed_file_in_lib_gives_a_new_launcher_that_has_loaded_the_change(tmp_path: Path) -> None:
    shop = Project(tmp_path)
    lib = shop.actions.parent / "lib"
    (lib / "inner").mkdir(parents=True)
    (lib / "rates.py").write_text("rate = 1\n")
    (shop.actions.parent / "pack.yaml").write_text("ref: shop\npreload: [rates]\n")
    shop.action("rate", "import os, rates\ndef run(params):\n    return [rates.rate, os.getppid()]\n")
    executor = shop.executor()

    def rate() -> tuple[int, int]:
        value, parent = executor.execute(ExecutionRequest(1, "shop.rate")).result
        return value, parent

    first = rate()
    assert rate() == first
    (lib / "rates.py").write_text("rate = 22\n")
    second = rate()
    assert (first[0], second[0], first[1] != second[1]) == (1, 22, True)
    (lib / "inner" / "more.py").touch()
    assert rate()[1] != second[1]
    executor.close()


def test_one_that_leaves_a_thread_gives_a_fresh_interpreter_each_said_once(
    pack: Pack, caplog: pytest.LogCaptureFixture
) -> None:
    pack.module("import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n")
    with caplog.at_level(logging.WARNING, "attune_tasks"):
        results = [pack.run(IS_FORK).result for _ in range(3)]
    assert results == [False] * 3
    said = (
        "Python actions of the pack tests get a fresh interpreter each, for their launcher can't be forked: its preload"
    )
    assert [record.getMessage() for record in caplog.records] == [f"{said} started a thread"]


def test_one_that_leaves_a_thread_is_no_hindrance_for_bounded_actions(pack: Pack) -> None:
    pack.module("import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n")
    code = "import resource\ndef run(params): return resource.getrlimit(resource.RLIMIT_NOFILE)[0]\n"
    assert pack.run(code, limits=Limits(open_files=256)).result == 256
    assert pack.run("ulimit -n", runtime="shell", limits=Limits(open_files=256)).stdout == "256\n"


def test_a_thread_that_starts_after_the_launcher_was_ready_fails_the_next_execution_and_ends_the_launcher(
    pack: Pack,
) -> None:
    pack.module(
        """
        import _thread, os, time
        os.register_at_fork(after_in_parent=lambda: _thread.start_new_thread(time.sleep, (60,)))
        """
    )
    assert pack.run(IS_FORK).result is True
    (launcher,) = pack.launchers._idle
    assert status_of(launcher.pid)["Threads"] == "2"
    with pytest.raises(StartError, match="the launcher can't fork \\(threads\\)"):
        pack.run(IS_FORK)
    assert not alive(launcher.pid)
    assert pack.run(IS_FORK).result is True


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import no_such_module\n", "preload:loaded:ModuleNotFoundError"),
        ("1 / 0\n", "preload:loaded:ZeroDivisionError"),
        ("import sys\nsys.exit('no')\n", "preload:loaded:SystemExit"),
        ("raise KeyboardInterrupt\n", "preload:loaded:KeyboardInterrupt"),
        ("class Odd(BaseException): pass\nOdd.__name__ = 'x\\n\\x1bgone -' * 99\nraise Odd\n", "preload:loaded:"),
        ("def (:\n", "preload:loaded:SyntaxError"),
    ],
    ids=["missing", "error", "sys.exit", "interrupt", "a name with a newline", "syntax"],
)
def test_one_that_fails_gives_a_fresh_interpreter_and_is_named(
    pack: Pack, text: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    pack.module(text)
    with caplog.at_level(logging.WARNING, "attune_tasks"):
        assert pack.run(IS_FORK).result is False
        assert pack.run("get_secret key", {"key": "v"}, runtime="shell").stdout == "v"
    (record,) = caplog.records
    assert said in record.getMessage()
    assert record.getMessage().isprintable()


@pytest.mark.parametrize(
    "text", ["import os\nos._exit(3)\n", "import os\nos.kill(os.getpid(), 9)\n", "import os\nos.closerange(3, 99)\n"]
)
def test_one_that_ends_its_launcher_fails_the_execution_and_is_named(pack: Pack, text: str) -> None:
    pack.module(text)
    with pytest.raises(StartError, match=r"did not start: see that .* runs, and that `preload: \[loaded\]` does not"):
        pack.run(IS_FORK)
    assert pack.launchers._idle == []


def test_one_that_hangs_is_given_up_with_all_that_it_has_started(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attune_tasks.process.launcher._START_SECONDS", 1.0)
    mark = secrets.token_hex(8)
    pack.module(
        f"""
        import os, signal, subprocess, sys, time
        subprocess.Popen(["sleep", "600"], env={{"MARK": "{mark}"}}, start_new_session=True)
        subprocess.Popen([sys.executable, "-c", "import os, time\\nif os.fork(): os._exit(0)\\n"
                          "os.setsid(); time.sleep(600)"],
                         env={{"MARK": "{mark}"}}).wait()
        open({str(pack.folder / "hangs")!r}, "w").close()
        time.sleep(600)
        """
    )
    started = time.monotonic()
    with pytest.raises(StartError, match=r"not ready within 1 seconds: is it `preload: \[loaded\]`\?"):
        pack.run(IS_FORK)
    assert time.monotonic() - started < 8
    assert (pack.folder / "hangs").exists()
    assert carrying(mark) == []


def test_one_that_leaves_processes_has_them_ended_with_the_first_execution(pack: Pack) -> None:
    mark = secrets.token_hex(8)
    pack.module(f"import subprocess\nsubprocess.Popen(['sleep', '600'], env={{'MARK': '{mark}'}})\n")
    assert pack.run(IS_FORK).result is True
    assert carrying(mark) == []
    assert pack.run(IS_FORK).result is True


def test_what_it_prints_and_reads_is_nobodys(pack: Pack) -> None:
    pack.module(
        """
        import os, sys
        print("preload out")
        print("preload err", file=sys.stderr)
        os.write(1, b"raw out")
        sys.stdout.write("kept in the buffer")
        got = sys.stdin.read()
        """
    )
    result = pack.run("import loaded\nprint('mine')\ndef run(params):\n    return loaded.got\n", {"key": "value"})
    assert (result.stdout, result.stderr, result.result) == ("mine\n", "", "")


STATE = """
import os, signal, sys, time
def run(params):
    mask = os.umask(0)
    status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
    return [oct(mask), {name: status[name].strip() for name in ("SigBlk", "SigIgn", "SigCgt", "ShdPnd", "SigPnd")},
            sorted(os.environ), os.getcwd() == os.environ["TMPDIR"], sys.getrecursionlimit(), sys.gettrace() is None]
"""


def test_what_it_changes_of_its_process_is_put_right(pack: Pack) -> None:
    pack.module("")
    plain = pack.run(STATE)
    pack.module(
        """
        import os, signal, sys
        os.umask(0)
        os.chdir("/usr")
        os.environ["PLANTED"] = "1"
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            if number < signal.SIGRTMIN:
                signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        """
    )
    changed = pack.run(STATE, None, "loaded", "_signal")
    assert changed.result == plain.result
    script = (
        "umask; grep -E 'SigBlk|SigIgn' /proc/self/status; env | grep -c PLANTED || true; pwd | grep -c usr || true"
    )
    expected = subprocess.run(
        ["bash", "-c", f"umask 77; cd /; {script}"], capture_output=True, text=True, check=True, env={"PATH": "/bin"}
    )
    said = pack.run(script, None, "loaded", "_signal", runtime="shell").stdout
    assert _without_glibcs(said) == _without_glibcs(expected.stdout)


def _without_glibcs(text: str) -> str:
    """Leave out the two signals that are glibc's own: its posix_spawn ignores them, and others may block them."""
    return re.sub(r"\b[0-9a-f]{16}\b", lambda found: f"{int(found[0], 16) & ~(3 << 31):016x}", text)


SPY = """
import builtins, gc, json, os, sys
seen = {place!r}
def note(what):
    with builtins.open(seen, "a") as file:
        file.write(repr(what) + "\\n")
read = os.read
def reading(descriptor, size):
    data = read(descriptor, size)
    note(data)
    return data
os.read = reading
os.register_at_fork(after_in_child=lambda: note("a fork"))
def in_child():
    note([thing for thing in gc.get_objects() if isinstance(thing, dict) and len(thing) < 9])
sys.addaudithook(lambda name, args: in_child() if name == "exec" and "spied" in repr(args) else None)
for number in range(3, 64):  # its sockets
    try:
        os.dup2(number, number + 300)
        os.set_inheritable(number + 300, True)
    except OSError:
        pass
"""


def test_a_hostile_one_sees_the_secrets_of_its_own_pack_and_of_no_other(tmp_path: Path, launchers: Launchers) -> None:
    own, other = secrets.token_hex(16), secrets.token_hex(16)
    seen = tmp_path / "seen"
    hostile, victim = Pack(tmp_path / "hostile", launchers), Pack(tmp_path / "victim", launchers)
    hostile.module(SPY.format(place=str(seen)))
    victim.module("")
    text = "import os\nname = 'spied'\ndef run(params):\n    return get_secret('key')\n"
    for _ in range(3):
        assert hostile.run(text, {"key": own}).result == own
        assert victim.run(text, {"key": other}).result == other
        assert victim.run("get_secret key", {"key": other}, runtime="shell").stdout == other
    noted = seen.read_text()
    assert "a fork" in noted
    assert own in noted, "the look would see it: a preload is in every action of its own pack"
    assert other not in noted
    assert len({launcher.pid for launcher in launchers._idle}) == 2


def test_a_preload_of_a_pack_does_not_run_in_the_worker(pack: Pack) -> None:
    pack.module(f"import os\nopen({str(pack.folder / 'pid')!r}, 'w').write(str(os.getpid()))\n")
    pack.run(IS_FORK)
    pid = int((pack.folder / "pid").read_text())
    assert pid != os.getpid()
    assert alive(pid)
