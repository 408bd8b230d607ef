"""Nothing that one execution does to its interpreter can be seen by the next one of the same launcher."""
# ruff: noqa: E501 - a table with one line for each thing

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from attune_tasks.confinement import Confinement
from attune_tasks.process import Launchers, Supervision
from attune_tasks.result import ExecutionResult
from tests.runs import run_script

# What an execution might leave to the next. Each line: what to do, and how it would show.
CHANGES = {
    "a builtin": ("import builtins\nbuiltins.planted = 1", "hasattr(__import__('builtins'), 'planted')"),
    "a builtin replaced": ("import builtins\nbuiltins.len = lambda x: 99", "len('')"),
    "a module": ("import sys\nsys.modules['planted'] = sys", "'planted' in sys.modules"),
    "a module's content": ("import os\nos.planted = 1", "hasattr(os, 'planted')"),
    "a global of ours": ("import sys\nsys.modules['zipimport'].planted = 1", "hasattr(sys.modules['zipimport'], 'planted')"),
    "sys.path": ("import sys\nsys.path.insert(0, '/planted')", "'/planted' in sys.path"),
    "sys.meta_path": ("import sys\nsys.meta_path.clear()", "len(sys.meta_path)"),
    "sys.argv": ("import sys\nsys.argv.append('planted')", "len(sys.argv)"),
    "the environment": ("import os\nos.environ['PLANTED'] = '1'", "os.environ.get('PLANTED')"),
    "the environment below": (
        "import ctypes\nctypes.CDLL(None).setenv(b'PLANTED', b'1', 1)",
        "__import__('subprocess').run(['env'], capture_output=True).stdout.count(b'PLANTED')",
    ),
    "the working directory": ("import os\nos.chdir('/usr')", "os.getcwd() == os.environ['TMPDIR']"),
    "the umask": ("import os\nos.umask(0)", "oct(os.umask(0o77))"),
    "a signal handler": (
        "import signal\nfor n in (1, 2, 10, 12, 15, 17, 28): signal.signal(n, lambda *_: None)",
        "[str(__import__('_signal').getsignal(n)) for n in (1, 10, 12, 15, 17, 28)]",
    ),
    "blocked signals": (
        "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, {10, 12, 15})",
        "sorted(__import__('_signal').pthread_sigmask(0, ()))",
    ),
    "an alarm": ("import signal\nsignal.alarm(3600)", "__import__('_signal').alarm(0)"),
    "the locale": ("import locale\nlocale.setlocale(locale.LC_ALL, 'C.UTF-8')", "__import__('_locale').setlocale(6, None)"),
    "an open file": ("import os\nos.dup2(0, 77)", "os.path.lexists('/proc/self/fd/77')"),
    "the nice value": ("import os\nos.nice(5)", "os.nice(0)"),
    "a bound": (
        "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (99, 99))",
        "__import__('resource').getrlimit(7)",
    ),
    "the logging": (
        "import logging\nlogging.basicConfig(level=1)\nlogging.disable(40)",
        "[len(__import__('logging').root.handlers), __import__('logging').root.manager.disable]",
    ),
    "the collector": ("import gc\ngc.disable()\ngc.set_threshold(1)", "[__import__('gc').isenabled(), __import__('gc').get_threshold()]"),
    "the recursion limit": ("import sys\nsys.setrecursionlimit(77777)", "sys.getrecursionlimit()"),
    "the switch interval": ("import sys\nsys.setswitchinterval(1)", "sys.getswitchinterval()"),
    "standard output": ("import sys\nsys.stdout.reconfigure(encoding='latin-1', errors='replace')", "[sys.stdout.encoding, sys.stdout.errors]"),
    "text that is not flushed": ("import sys\nsys.__stdout__.write('left')", "sys.stdout.tell() if sys.stdout.seekable() else None"),
    "atexit": ("import atexit\natexit.register(print, 'left')", "__import__('atexit')._ncallbacks()"),
    "hooks": ("import sys\nsys.excepthook = sys.displayhook = print\nsys.settrace(lambda *_: None)", "[sys.excepthook is sys.__excepthook__, sys.gettrace() is None]"),
    "warnings": ("import warnings\nwarnings.simplefilter('error')", "__import__('warnings').filters[0][0]"),
    "decimal's context": ("import decimal\ndecimal.getcontext().prec = 3", "__import__('decimal').getcontext().prec"),
    "get_secret": ("import builtins\nbuiltins.get_secret = lambda *_: 'planted'", "__import__('builtins').get_secret('key')"),
    "the time zone": ("import os, time\nos.environ['TZ'] = 'Asia/Tokyo'\ntime.tzset()", "__import__('time').timezone"),
    "a child": ("import os\nif not os.fork(): __import__('time').sleep(600)", "sorted(open(f'/proc/{os.getppid()}/task/{os.getppid()}/children').read().split()) == [str(os.getpid())]"),
    "a private folder's file": ("open('planted', 'w').write('x')", "os.listdir()"),
}  # fmt: skip
_SHOW = "import os, sys\ndef run(params):\n    return [SHOW]\n"


def by(launchers: Launchers, folder: Path, text: str, **more: Any) -> ExecutionResult:
    result = run_script("python", folder, text, {"key": "own"}, supervision=Supervision(launchers=launchers), **more)
    assert result.status == "succeeded", result
    return result


@pytest.fixture
def launchers() -> Iterator[Launchers]:
    made = Launchers()
    yield made
    made.close()


def test_nothing_that_one_execution_does_to_its_interpreter_is_seen_by_the_next(
    tmp_path: Path, launchers: Launchers
) -> None:
    looks = _SHOW.replace("SHOW", ", ".join(f"[{name!r}, {show}]" for name, (_, show) in CHANGES.items()))
    before = by(launchers, tmp_path, looks)
    for name, (change, _) in CHANGES.items():
        run_script(
            "python", tmp_path, change, {"key": "x"}, supervision=Supervision(launchers=launchers), name=name[:3]
        )
    after = by(launchers, tmp_path, looks)
    assert len({launcher.pid for launcher in launchers._idle}) == 1
    assert len(before.result) == len(CHANGES)
    assert (after.result, after.stdout, after.stderr) == (before.result, "", "")


# What the look does not show within one execution: the change takes effect elsewhere.
_NOT_SEEN_WITHIN = {"text that is not flushed", "a child"}


@pytest.mark.parametrize("name", sorted(set(CHANGES) - _NOT_SEEN_WITHIN))
def test_the_look_sees_each_change_within_one_execution(tmp_path: Path, launchers: Launchers, name: str) -> None:
    change, show = CHANGES[name]
    look = _SHOW.replace("SHOW", show)
    changed = look.replace("    return", "".join(f"    {line}\n" for line in change.split("\n")) + "    return")
    before = json.dumps(by(launchers, tmp_path, look).result)
    assert json.dumps(by(launchers, tmp_path, changed).result) != before


def test_random_numbers_differ_between_executions(tmp_path: Path, launchers: Launchers) -> None:
    text = """
import random, secrets, uuid, tempfile, os
def run(params):
    return [random.random(), secrets.token_hex(8), str(uuid.uuid4()), os.path.basename(tempfile.mkdtemp())]
"""
    for preload in ((), ("random", "secrets", "uuid", "tempfile")):
        rows = [by(launchers, tmp_path, text, confinement=Confinement(preload=preload)).result for _ in range(3)]
        assert all(len(set(column)) == 3 for column in zip(*rows, strict=True)), rows
    seeded = "import random\nrandom.seed(7)\ndef run(params):\n    return random.random()\n"
    assert by(launchers, tmp_path, seeded).result == by(launchers, tmp_path, seeded).result, "the look sees a seed"


def test_a_modules_state_is_that_of_the_preload_for_each(tmp_path: Path, launchers: Launchers) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "counter.py").write_text("seen = []\n")
    text = "import counter\ndef run(params):\n    counter.seen.append(1)\n    return len(counter.seen)\n"
    more = {"pack_path": tmp_path, "confinement": Confinement(preload=("counter",))}
    assert [by(launchers, tmp_path, text, **more).result for _ in range(3)] == [1, 1, 1]


def test_executions_in_several_threads_are_apart(tmp_path: Path, launchers: Launchers) -> None:
    found: dict[int, str] = {}

    def work(number: int) -> None:
        text = f"def run(params):\n    return get_secret('key') + '{number}'\n"
        found[number] = by(launchers, tmp_path, text, name=f"a{number}").result

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: f"own{number}" for number in range(6)}
