"""Python actions behave as scripts of a plain interpreter do, and get their secrets byte for byte."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import attune_tasks
from attune_tasks.confinement import Confinement
from attune_tasks.context import ExecutionContext
from attune_tasks.errors import InvalidSecretError, StartError
from attune_tasks.process import Supervision
from attune_tasks.result import ExecutionResult
from attune_tasks.runtimes import PythonRuntime
from attune_tasks.wire import NAME_PATTERN
from tests.runs import LAUNCHERS, run_script
from tests.unit.test_wire import VALUES
from tests.vectors import CARRIED, REFUSED
from tests.waiting import wait_until

GIVE_ALL = "def run(params):\n    return {name: get_secret(name) for name in params['names']}\n"


_current = {"isolation": "fork"}
once = pytest.mark.parametrize("isolation", ["fork"], indirect=True)
"""For a test in which no action runs, or which can't say in what it runs."""


@pytest.fixture(autouse=True, scope="module", params=["fork", "exec"])
def isolation(request: pytest.FixtureRequest) -> str:
    """Have every test here run for both kinds of isolation: they must behave alike."""
    _current["isolation"] = request.param
    return str(request.param)


def runtime_name() -> str:
    return "python" if _current["isolation"] == "fork" else "python-exec"


def run(folder: Path, text: str, secrets: dict[str, str] | None = None, **context: Any) -> ExecutionResult:
    return run_script(runtime_name(), folder, textwrap.dedent(text), secrets, **context)


def run_code(code: str, secrets: dict[str, str], **context: Any) -> ExecutionResult:
    confinement = Confinement(isolation="exec" if _current["isolation"] == "exec" else "fork")
    inline = ExecutionContext(1, "inline.python", code=code, secrets=secrets, confinement=confinement, **context)
    return PythonRuntime().execute(inline, Supervision(launchers=LAUNCHERS))


@pytest.mark.parametrize("vector", CARRIED, ids=lambda vector: vector["name"])
def test_the_wires_vectors_come_through(tmp_path: Path, vector: dict[str, Any]) -> None:
    secrets = vector["secrets"]
    assert run(tmp_path, GIVE_ALL, secrets, parameters={"names": list(secrets)}).result == secrets


@pytest.mark.parametrize("vector", REFUSED, ids=lambda vector: vector["name"])
def test_what_the_wire_refuses_starts_no_child(tmp_path: Path, vector: dict[str, Any]) -> None:
    with pytest.raises(InvalidSecretError):
        run(tmp_path, "open('started', 'w')", vector["secrets"], working_dir=tmp_path)
    assert not (tmp_path / "started").exists()


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.from_regex(NAME_PATTERN, fullmatch=True), VALUES, max_size=4))
def test_any_secret_comes_through_byte_for_byte(secrets: dict[str, str]) -> None:
    code = (
        "import sys\n"
        "for name in sorted(_attune_secrets):\n"
        "    print(name, get_secret(name).encode().hex(), flush=True)\n"
    )
    result = run_code(code, secrets)
    assert result.stdout.splitlines() == [f"{name} {secrets[name].encode().hex()}" for name in sorted(secrets)]
    assert result.status == "succeeded"


@settings(max_examples=25, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    ),
)
def test_parameters_and_results_keep_their_types(value: Any) -> None:
    code = "def run(params): return params['value']"
    assert run_code(code, {}, parameters={"value": value}).result == value


def test_a_secret_that_is_not_declared_gives_the_default(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        "def run(params): return [get_secret('no'), get_secret('no', 'x'), get_secret('yes', 'x')]",
        {"yes": ""},
    )
    assert result.result == [None, "x", ""]


def test_the_old_way_still_reads_in_the_transition(tmp_path: Path) -> None:
    text = "import os\ndef run(params): return get_secret('x') or os.environ.get('SECRET_X')\n"
    assert run(tmp_path, text, {"x": "new"}).result == "new"
    assert run(tmp_path, text, env={"SECRET_X": "old"}).result == "old"


def test_modules_of_the_pack_can_get_secrets_and_are_found(tmp_path: Path) -> None:
    actions, lib = tmp_path / "actions", tmp_path / "lib"
    actions.mkdir()
    lib.mkdir()
    (actions / "beside.py").write_text("where = 'beside'\n")
    (lib / "beside.py").write_text("where = 'lib'\n")
    (lib / "helper.py").write_text("def key(): return get_secret('k')\n")
    text = "import sys, beside, helper\ndef run(params): return [beside.where, helper.key(), sys.path[:2]]\n"
    result = run(actions, text, {"k": "v"}, pack_path=tmp_path)
    assert result.result == ["beside", "v", [str(actions), str(lib)]]


def test_plain_code_runs_as_main(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        """
        import sys
        if __name__ == "__main__":
            print(__name__, __file__, sys.argv, sys.modules["__main__"].__dict__ is globals())
            names = ["_attune_secrets", "get_secret", "mask", "set_progress", "sys"]
            assert [name for name in globals() if not name.startswith("__") and name != "names"] == names
        """,
    )
    assert result.stdout == f"__main__ {tmp_path}/action.py {[f'{tmp_path}/action.py']} True\n", result.stderr
    assert result.status == "succeeded"
    assert result.result is None


def test_a_module_with_run_is_imported_and_its_guard_does_not_fire(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        """
        import sys
        def run(params):
            return [__name__, __file__, sys.argv, sys.modules[__name__].run is run, __spec__.name]
        if __name__ == "__main__":
            print("guard")
        """,
    )
    assert result.stdout == ""
    path = f"{tmp_path}/action.py"
    assert result.result == ["action", path, [path], True, "action"]


def test_a_script_named_like_a_module_of_the_stdlib_does_not_replace_it(tmp_path: Path) -> None:
    text = "import sys\ndef run(params): return [__name__, 'json' in sys.modules]\n"
    assert run(tmp_path, text, name="json").result == ["attune_action", False]


def test_a_run_that_is_imported_or_nested_does_not_make_a_plain_script_an_action(tmp_path: Path) -> None:
    text = "from subprocess import run\nclass A:\n    def run(self): ...\nprint(__name__)\n"
    assert run(tmp_path, text).stdout == "__main__\n"


def test_an_async_run_is_awaited(tmp_path: Path) -> None:
    text = "import asyncio\nasync def run(params):\n    await asyncio.sleep(0)\n    return get_secret('a')\n"
    assert run(tmp_path, text, {"a": "b"}).result == "b"


def test_inline_code_runs_with_and_without_run() -> None:
    assert run_code("print(get_secret('a'))", {"a": "b"}).stdout == "b\n"
    assert run_code("def run(params): return params", {}, parameters={"c": 1}).result == {"c": 1}


@once  # it takes no isolation: its code runs in a fork
def test_code_without_a_context_runs_with_and_without_run() -> None:
    runtime = PythonRuntime()
    assert runtime.execute_python_code("print(get_secret('a'))", {"a": "b"}).stdout == "b\n"
    assert runtime.execute_python_code("def run(params): return params", {}).result == {}


@pytest.mark.parametrize(
    ("code", "exit_code", "stderr"),
    [
        ("import sys\ndef run(params): sys.exit(3)", 3, ""),
        ("import sys\nsys.exit(0)", 0, ""),
        ("raise SystemExit('stop here')", 1, "stop here\n"),
        ("import os\nos._exit(5)", 5, ""),
    ],
)
def test_exits_are_those_of_a_plain_interpreter(tmp_path: Path, code: str, exit_code: int, stderr: str) -> None:
    result = run(tmp_path, code)
    assert (result.exit_code, result.stderr) == (exit_code, stderr)
    assert result.status == ("failed" if exit_code else "succeeded")


def test_a_traceback_begins_at_the_action_and_the_error_is_told(tmp_path: Path) -> None:
    result = run(tmp_path, "def run(params):\n    raise ValueError('no such month')\n")
    assert (result.status, result.exit_code) == ("failed", 1)
    assert result.error == {"type": "ValueError", "message": "no such month"}
    assert result.stderr.splitlines()[:2] == [
        "Traceback (most recent call last):",
        f'  File "{tmp_path / "action.py"}", line 2, in run',
    ]
    assert result.stderr.splitlines()[-1] == "ValueError: no such month"


def test_a_syntax_error_is_told(tmp_path: Path) -> None:
    result = run(tmp_path, "def run(params:\n")
    assert result.status == "failed"
    assert result.error is not None
    assert result.error["type"] == "SyntaxError"
    assert "action.py" in result.stderr


def test_an_actions_own_excepthook_sees_its_exception(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        """
        import sys
        sys.excepthook = lambda kind, error, traceback: print("hook", kind.__name__, traceback.tb_frame.f_code.co_name)
        def run(params):
            1 / 0
        """,
    )
    assert result.stdout == "hook ZeroDivisionError run\n"


def test_atexit_threads_and_unflushed_files_are_finished(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        """
        import atexit, sys, threading, time
        file = open("left.txt", "w")
        def slow():
            time.sleep(0.1)
            print("thread")
        def run(params):
            atexit.register(print, "atexit")
            threading.Thread(target=slow).start()
            file.write("not flushed")
            sys.stdout.write("run\\n")
            return 1
        """,
        working_dir=tmp_path,
    )
    assert result.stdout == "run\nthread\natexit\n"
    assert result.result == 1
    assert (tmp_path / "left.txt").read_text() == "not flushed"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("plain", [True, False], ids=["plain", "run"])
def test_multiprocessing_works(tmp_path: Path, method: str, plain: bool) -> None:  # noqa: FBT001 - a parameter
    body = f"""
        import multiprocessing
        def square(number):
            return number * number
        def work():
            with multiprocessing.get_context({method!r}).Pool(2) as pool:
                return pool.map(square, [1, 2, 3])
        """
    text = textwrap.dedent(body) + (
        "if __name__ == '__main__':\n    print(work())\n" if plain else "def run(params):\n    print(work())\n"
    )
    result = run(tmp_path, text)
    assert result.stdout == "[1, 4, 9]\n", result.stderr


def test_asyncio_with_a_subprocess_works(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        """
        import asyncio
        async def main():
            process = await asyncio.create_subprocess_exec("echo", "hello")
            return await process.wait()
        print(asyncio.run(main()))
        """,
    )
    assert result.stdout == "hello\n0\n"


def test_the_action_and_its_children_have_no_descriptor_of_ours_and_3_is_free(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        """
        import os, subprocess
        own = sorted(int(fd) for fd in os.listdir("/proc/self/fd"))
        free = os.open("/dev/null", os.O_RDONLY)
        child = subprocess.run(["ls", "/proc/self/fd"], capture_output=True, text=True, close_fds=False).stdout.split()
        def run(params):
            return [own, free, child, [name for name in os.environ if name.endswith("_FD")]]
        """,
    )
    own, free, child, variables = result.result
    assert [fd for fd in own if fd > 3] == [200]
    assert free == 3
    assert "200" not in child
    assert variables == []


def test_standard_input_is_at_its_end_after_the_line(tmp_path: Path) -> None:
    assert run(tmp_path, "import sys\ndef run(params): return sys.stdin.read()", {"a": "b"}).result == ""


def test_parameters_can_follow_on_standard_input(tmp_path: Path) -> None:
    text = "import sys\ndef run(params): return [sys.stdin.read(), params]"
    result = run(tmp_path, text, {"a": "b"}, parameters={"x": 1}, parameter_delivery="stdin")
    assert result.result == ['{"x": 1}\n', {"x": 1}]


def test_signals_are_as_a_plain_interpreter_has_them(tmp_path: Path) -> None:
    code = (
        "import signal, sys, pathlib\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from tests.runs import LAUNCHERS, run_script\n"
        "for number in (1, 2, 3, 15):\n"
        "    signal.signal(number, signal.SIG_IGN)\n"
        "text = 'import signal\\ndef run(params): return [str(signal.getsignal(n)) for n in (2, 13, 1, 3, 15)]'\n"
        "print(run_script(sys.argv[3], pathlib.Path(sys.argv[2]), text).to_json())\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code, str(root), str(tmp_path), runtime_name()],
        capture_output=True,
        text=True,
        check=True,
    )
    interrupt, pipe, *others = json.loads(done.stdout)["result"]
    assert "default_int_handler" in interrupt
    assert (pipe, *others) == (str(signal.SIG_IGN), *[str(signal.SIG_DFL)] * 3)  # Python itself ignores SIGPIPE


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("def run(params): return {1, 2}", "result_not_json"),
        ("def run(params): return float('nan')", "result_not_json"),
        ("def run(params):\n    a = []\n    a.append(a)\n    return a", "result_not_json"),
        ("def run(params): return 'x' * (1 << 20)", "result_too_large"),
    ],
)
def test_a_result_that_can_not_be_carried_fails_with_the_reason(tmp_path: Path, code: str, kind: str) -> None:
    result = run(tmp_path, code)
    assert result.status == "failed"
    assert result.error is not None
    assert result.error["type"] == kind
    assert "run() returned" in result.stderr


def test_a_result_that_is_nested_too_deep_fails(tmp_path: Path) -> None:
    result = run(tmp_path, "def run(params):\n    a = []\n    for _ in range(500): a = [a]\n    return a")
    assert result.error == {"type": "result_too_deep", "message": "the result is nested more than 64 levels deep"}
    assert result.result is None


def test_a_result_of_nearly_a_mebibyte_comes_through(tmp_path: Path) -> None:
    assert len(run(tmp_path, "def run(params): return 'x' * ((1 << 20) - 100)").result) == (1 << 20) - 100


def test_a_result_is_not_written_into_a_file_of_the_actions_own(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        """
        import os
        def run(params):
            os.closerange(3, 256)
            for _ in range(300):
                os.open("own", os.O_RDWR | os.O_CREAT)
            return {"done": True}
        """,
        working_dir=tmp_path,
    )
    assert (result.status, result.error and result.error["type"]) == ("failed", "nonzero_exit")
    assert "closed the descriptor" in result.stderr
    assert (tmp_path / "own").read_text() == ""


def test_an_error_whose_text_can_not_be_had_is_an_error(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        """
        class Odd(Exception):
            def __str__(self): raise SystemExit(0)
        def run(params): raise Odd
        """,
    )
    assert (result.status, result.error) == ("failed", {"type": "Odd", "message": "(its str() failed)"})


@once
def test_folders_without_write_permission_are_removed_too(tmp_path: Path) -> None:
    # root removes them anyway, so it is tried as another user where the tests run as root.
    code = (
        "import os, sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "from pathlib import Path\n"
        "from attune_tasks.process._launcher.attune_folder import remove_folder\n"
        "folder = Path(sys.argv[2]); (folder / 'd/e').mkdir(parents=True); (folder / 'd/e/f').touch()\n"
        "(folder / 'link').symlink_to('/etc'); (folder / 'd/e').chmod(0o500); (folder / 'd').chmod(0)\n"
        "assert remove_folder(str(folder))\n"
    )
    with tempfile.TemporaryDirectory(dir="/tmp") as parent:
        Path(parent).chmod(0o777)
        source = shutil.copytree(Path(attune_tasks.__file__).parent, Path(parent, "src", "attune_tasks"))
        subprocess.run(["chmod", "-R", "a+rX", str(source.parent)], check=True)
        folder = Path(parent, "private")
        interpreter = shutil.which("python3", path="/usr/bin:/usr/local/bin") or sys.executable
        done = subprocess.run(
            [interpreter, "-c", code, str(source.parent), str(folder)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert not folder.exists()


# All that an action finds loaded beyond what an interpreter loads for itself, with site and the files that it reads at
# its start; the same from Python 3.11 to 3.13. "action" is the action's own module.
LOADED = {"exec": {"_json", "action", "gc"}}
LOADED["fork"] = LOADED["exec"] | {
    "_ctypes",
    "_locale",
    "_socket",
    "_struct",
    "atexit",
    "ctypes",
    "ctypes._endian",
    "resource",
    "select",
    "struct",
    "types",
    *(("_types",) if sys.version_info >= (3, 14) else ()),
}


def test_the_bootstrap_loads_what_is_listed_and_none_of_the_slow_modules(tmp_path: Path) -> None:
    found = set(run(tmp_path, "import sys\ndef run(params): return sorted(sys.modules)", {"a": "b"}).result)
    look = [sys.executable, "-I", "-X", "utf8", "-c", "import sys\nprint(*sys.modules)"]  # as actions are started
    bare = set(subprocess.run(look, env={}, capture_output=True, text=True, check=True).stdout.split())
    assert found - bare <= LOADED[_current["isolation"]]
    assert {"_json", "action"} <= found, "what there is to see is seen"
    assert not {"json", "re", "enum", "typing", "subprocess", "inspect"} & found


@once
def test_the_wrapper_text_holds_nothing_of_the_context() -> None:
    context = ExecutionContext(
        1, "pack.act", parameters={"p": "PARAMETER"}, secrets={"s": "hunter2hunter2"}, code="CODE"
    )
    text = PythonRuntime().generate_wrapper_script(context)
    compile(text, "wrapper", "exec")
    assert text == PythonRuntime().generate_wrapper_script(ExecutionContext(2, "x.y"))


@once
def test_another_interpreter_can_be_set_and_a_missing_one_is_told(tmp_path: Path) -> None:
    link = tmp_path / "python"
    link.symlink_to(sys.executable)
    assert str(link) in PythonRuntime(interpreter=str(link)).describe()
    with pytest.raises(StartError, match="/nowhere/python"):
        PythonRuntime(interpreter="/nowhere/python").execute_python_code("pass", {})


@once
def test_a_missing_script_is_told(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"gone\.py"):
        PythonRuntime().execute(ExecutionContext(1, "a.b", code_path=tmp_path / "gone.py"))


def test_temporary_files_are_in_a_private_folder_that_is_removed(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        """
        import os, tempfile
        def run(params):
            os.makedirs("deep/er")
            handle, name = tempfile.mkstemp()
            return [os.getcwd(), name, oct(os.stat(".").st_mode & 0o777), oct(os.umask(0))]
        """,
    )
    folder, name, mode, umask = result.result
    assert name.startswith(folder + os.sep)
    assert (mode, umask) == ("0o700", "0o77")
    wait_until(lambda: not Path(folder).exists(), "the launcher removes the folder when it has told the end")


def test_only_the_end_of_the_output_is_kept(tmp_path: Path) -> None:
    result = run(tmp_path, "print('a' * 5000 + 'é' * 100, end='')", supervision=Supervision(keep_bytes=101))
    assert result.stdout == "é" * 50
    assert (result.stdout_truncated, result.stderr_truncated) == (True, False)
