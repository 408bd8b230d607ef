"""The images: what is in them, and how they run."""

from __future__ import annotations

import json

import pytest

from tests.docker.engine import Engine
from tests.docker.image_set import SHOP, WORKER

HARDENED = ("--read-only", "--tmpfs", "/tmp:mode=1777,exec", "--cap-drop", "ALL", "--network", "none")


def run(engine: Engine, *command: str, image: str = WORKER) -> str:
    return engine.docker("run", "--rm", *HARDENED, image, *command).stdout


@pytest.mark.parametrize("image", [WORKER, SHOP])
def test_an_image_runs_as_a_user_who_is_not_root_under_an_init(engine: Engine, image: str) -> None:
    (known,) = json.loads(engine.docker("image", "inspect", image).stdout)
    assert known["Config"]["User"] == "10001:10001"
    assert known["Config"]["Entrypoint"] == ["tini", "--"]
    assert "attune-tasks" in known["Config"]["Healthcheck"]["Test"]
    assert run(engine, "id", "-u", image=image) == "10001\n"
    assert run(engine, "cat", "/proc/1/comm", image=image) == "tini\n"


@pytest.mark.parametrize("image", [WORKER, SHOP])
def test_nothing_in_an_image_belongs_to_its_user_or_runs_with_more_rights(engine: Engine, image: str) -> None:
    look = "find / -xdev '(' -user 10001 -o -type f -perm /6000 ')' -not -path '/proc/*' -print"
    assert run(engine, "sh", "-c", f"{look} 2>/dev/null | head", image=image) == ""


def test_of_the_programs_that_build_pip_alone_is_left(engine: Engine) -> None:
    look = "for each in gcc git pyproject-build pip; do command -v $each; done"
    assert run(engine, "sh", "-c", look) == "/opt/attune-tasks/bin/pip\n"  # which venv puts there


def test_nothing_that_an_image_was_built_from_is_left_in_it(engine: Engine) -> None:
    # The stages that build work in the root folder.
    places = "/wheels /source /requirements /opt/build /opt/attune-tasks"
    left = run(engine, "sh", "-c", f"for each in {places}; do test ! -e $each || echo $each; done")
    assert left == "/opt/attune-tasks\n"


def test_actions_of_all_kinds_run_with_a_read_only_root(engine: Engine) -> None:
    said = run(engine, "attune-tasks", "demo", "--help")
    assert "demo" in said
    look = "attune-tasks init /tmp/shop >/dev/null && cd /tmp/shop && attune-tasks run hello.greet -p name=Ada --json"
    result = json.loads(run(engine, "sh", "-c", look))
    assert result["status"] == "succeeded", result
    look = look.replace("hello.greet -p name=Ada", "hello.backup")
    assert json.loads(run(engine, "sh", "-c", look))["status"] == "succeeded"


def test_a_root_that_is_read_only_is_so(engine: Engine) -> None:
    done = engine.docker("run", "--rm", *HARDENED, WORKER, "touch", "/srv/x", check=False)
    assert done.returncode != 0
    assert "Read-only file system" in done.stderr


def test_any_other_user_does_as_well(engine: Engine) -> None:
    done = engine.docker("run", "--rm", "--user", "4242:4242", *HARDENED, WORKER, "attune-tasks", "runtimes")
    assert "shell" in done.stdout
