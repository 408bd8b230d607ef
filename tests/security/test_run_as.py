"""``run_as``: the action is another user, and has nothing of the worker's. As root, as such workers have to be."""

from __future__ import annotations

import json
import os
import pwd
import tempfile
from pathlib import Path
from typing import Any

import pytest

from attune_tasks.context import ExecutionRequest
from tests.ordinary import OrdinaryUser
from tests.security.test_ordinary_worker import HEAD
from tests.unit.test_executor import Project

USER = "nobody"
LOOK = {
    "python": "import json, os\nhere = os.stat('.')\nprint(json.dumps([os.getresuid(), os.getresgid(), os.getgroups(),"
    " os.environ['HOME'], os.environ.get('USER'), [here.st_uid, here.st_gid, here.st_mode & 0o777],"
    " os.getcwd() == os.environ['TMPDIR'], os.getppid(), len(get_secret('key'))]))\n"
    "try:\n    print(open(os.environ['FILE']).read())\nexcept PermissionError:\n    print('denied')\n",
    "shell": """
folder=$(stat -c '%u, %g, "%a"' .)
size=$(get_secret key | wc -c)
echo "[[$(id -u)], [$(id -g)], \\"$(id -G)\\", \\"$HOME\\", \\"${USER-}\\", [$folder], \\"$PWD\\", $PPID, $size]"
cat "$FILE" 2>/dev/null || echo denied
""",
}
LOOK |= {
    "python-exec": LOOK["python"],
    "executable": "#!/bin/bash\nread -r line\nget_secret() { printf %s value; }\n" + LOOK["shell"],
}


@pytest.fixture
def worker(ordinary_user: OrdinaryUser) -> Any:
    """Give a way to run code in a worker of root whose interpreter every user can start."""
    assert os.geteuid() == 0, "these tests change user: run them as root"
    environment = ordinary_user.environment() | {"TMPDIR": tempfile.gettempdir(), "HOME": "/root"}
    (ordinary_user.folder / "worker").write_text("the worker's own")
    for path in (ordinary_user.folder, ordinary_user.folder / "worker"):
        os.chown(path, 0, 0)
    ordinary_user.folder.chmod(0o755)
    (ordinary_user.folder / "worker").chmod(0o600)

    def run(code: str) -> Any:
        more: dict[str, Any] = {"user": 0, "group": 0, "extra_groups": [0, 4, 27], "umask": 0o022, "env": environment}
        return json.loads(ordinary_user.run(f"{HEAD}\n{code}\nlaunchers.close()\n", **more))

    run.folder = ordinary_user.folder  # type: ignore[attr-defined]
    return run


@pytest.mark.parametrize("runtime", LOOK)
def test_the_action_is_that_user_and_nobody_else(worker: Any, runtime: str) -> None:
    file = str(worker.folder / "worker")
    own, other = worker(
        f"print(json.dumps([run({runtime!r}, {LOOK[runtime]!r}, {{'key': 'value'}}, env={{'FILE': {file!r}}},"
        f" confinement=Confinement(isolation={'exec' if 'exec' in runtime else 'fork'!r}, run_as=user))"
        f" for user in (None, {USER!r})]))"
    )
    assert (own["status"], other["status"]) == ("succeeded", "succeeded"), (own, other)
    entry = pwd.getpwnam(USER)
    told, read = other["stdout"].splitlines()
    uids, gids, groups, home, _, folder, _, parent, size = json.loads(told)
    assert (set(uids), set(gids), home) == ({entry.pw_uid}, {entry.pw_gid}, entry.pw_dir)
    assert groups == ([] if "python" in runtime else str(entry.pw_gid)), "no supplementary groups"
    assert folder == [entry.pw_uid, entry.pw_gid, 0o700 if "python" in runtime else "700"]
    assert (read, size) == ("denied", 5)
    told, read = own["stdout"].splitlines()
    uids, gids, groups, home, _, folder, _, own_parent, _ = json.loads(told)
    assert (set(uids), home, read) == ({0}, "/root", "the worker's own"), "the look sees what a worker can read"
    assert groups == ([0, 4, 27] if "python" in runtime else "0 4 27")
    assert parent != own_parent, "a launcher for each user"


def test_a_launcher_is_kept_for_each_user_and_the_worker_can_end_it(worker: Any) -> None:
    code = f"""
text = "import os\\ndef run(params):\\n    return [os.getppid(), os.getuid()]\\n"
seen = [run("python", text, confinement=Confinement(run_as=user))["result"]
        for user in (None, {USER!r}, "daemon", {USER!r}, None, "daemon")]
stubborn = run("shell", "trap '' TERM; setsid sleep 600 & sleep 600", timeout=0.5,
               confinement=Confinement(run_as={USER!r}))
killed = run("python", "import os\\nos.kill(os.getppid(), 9)\\n", confinement=Confinement(run_as={USER!r}))
print(json.dumps([seen, stubborn, killed]))
"""
    seen, stubborn, killed = worker(code)
    assert len({pid for pid, _ in seen}) == 3
    uids = {name: pwd.getpwnam(name).pw_uid for name in (USER, "daemon")}
    assert [uid for _, uid in seen] == [0, uids[USER], uids["daemon"], uids[USER], 0, uids["daemon"]]
    assert (stubborn["status"], stubborn["left_behind"], stubborn["seconds"] < 5) == ("timed_out", [], True)
    assert (killed["error"]["type"], killed["left_behind"]) == ("launcher_lost", [])
    left = [path for path in Path(tempfile.gettempdir()).glob("attune-*") if path.stat().st_uid in uids.values()]
    assert left == []


def test_what_that_user_cannot_reach_is_said(worker: Any) -> None:
    code = """
from attune_tasks.errors import StartError
import tempfile
said = []
closed = Path(tempfile.mkdtemp())
for where, more in ((closed, {"working_dir": closed}), (closed, {})):
    try:
        if not more:
            os.environ["TMPDIR"] = tempfile.tempdir = str(closed)
        run("shell", "true", confinement=Confinement(run_as="daemon"), **more)
        said.append("started")
    except StartError as error:
        said.append(str(error).replace(str(closed), "CLOSED"))
    launchers.close()
    launchers = Launchers()
closed.rmdir()
print(json.dumps(said))
"""
    working_dir, temporary = worker(code)
    assert working_dir.endswith("could not be started in CLOSED: Permission denied")
    assert "could not be started in CLOSED/attune-" in temporary
    assert temporary.endswith(": Permission denied")


def test_an_interpreter_that_the_user_cannot_start_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "python").symlink_to("/usr/bin/env")
    shop = Project(tmp_path)
    shop.action("hello", "print(1)\n", f"run_as: {USER}\n")
    runtimes = {"python": {"interpreter": str(tmp_path / "python")}}
    result = shop.executor(runtimes=runtimes).execute(ExecutionRequest(1, "shop.hello"))
    assert (result.status, result.error and result.error["type"]) == ("error", "start_failed")
    assert result.error is not None
    assert f"could not be started as {USER}: Permission denied" in result.error["message"]


def test_a_user_that_is_not_there_is_said(tmp_path: Path) -> None:
    shop = Project(tmp_path)
    shop.action("hello", "print(1)\n", "run_as: no-such-user\n")
    result = shop.run("hello")
    assert (result.status, result.error) == (
        "error",
        {"type": "start_failed", "message": "run_as: there is no user 'no-such-user' on this machine"},
    )
    shop.action("plain", "print(1)\n")
    result = shop.run("plain", run_as="nor-this")
    assert result.error is not None
    assert "'nor-this'" in result.error["message"]


@pytest.mark.parametrize(
    ("own", "setting", "allow", "starts"),
    [
        ("daemon", None, [], True),
        (None, "daemon", [], True),
        ("daemon", "daemon", [], True),
        ("root", "daemon", [], False),
        ("root", "daemon", ["nobody"], False),
        ("root", "daemon", ["nobody", "root"], True),
    ],
)
def test_metadata_may_name_whom_the_operator_allows(
    tmp_path: Path, own: str | None, setting: str | None, allow: list[str], *, starts: bool
) -> None:
    shop = Project(tmp_path)
    shop.action("hello", "print(1)\n", f"run_as: {own}\n" if own else "")
    settings: dict[str, Any] = {"run_as_allow": allow, **({"run_as": setting} if setting else {})}
    executor = shop.executor(**settings)
    if starts:
        context = executor.prepare_execution_context(ExecutionRequest(1, "shop.hello"))
        assert context.confinement.run_as == (own or setting)
        return
    result = executor.execute(ExecutionRequest(1, "shop.hello"))
    assert result.error == {
        "type": "start_failed",
        "message": "shop.hello may not run as root: the setting run_as_allow does not list this user",
    }


def test_a_worker_that_may_not_change_user_says_so(ordinary_user: OrdinaryUser) -> None:
    code = f"""{HEAD}
from attune_tasks.errors import StartError
try:
    run("shell", "true", confinement=Confinement(run_as="root"))
except StartError as error:
    print(json.dumps(str(error)))
"""
    said = json.loads(ordinary_user.run(code))
    assert said.endswith("could not be started as root: Operation not permitted: only root may change user")
