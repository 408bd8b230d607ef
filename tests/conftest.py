"""What every test gets, and what is said at the end of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.django_site import django_site  # noqa: F401 - a fixture
from tests.kill_times import kill_time, kill_times
from tests.ordinary import ordinary_user  # noqa: F401 - a fixture
from tests.rabbitmq_server import rabbitmq_server  # noqa: F401 - a fixture
from tests.redis_server import redis_server  # noqa: F401 - a fixture
from tests.servers import used_server, used_servers
from tests.vault import vault  # noqa: F401 - a fixture

_IN_CONTAINERS = Path(__file__).parent / "docker"
_KEY = "used_servers"
_TIMES_KEY = "kill_times"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the tests in containers to who asks for them: they need an engine, and minutes (make test-docker)."""
    asked = any("docker" in Path(argument.partition("::")[0]).parts for argument in config.args)
    return True if collection_path == _IN_CONTAINERS and not asked else None


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand what a process of xdist noted to the one that reports."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_KEY] = [list(server) for server in used_servers()]
        output[_TIMES_KEY] = [list(entry) for entry in kill_times()]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what a process of xdist noted; one that crashed has no output."""
    for server in getattr(node, "workeroutput", {}).get(_KEY, ()):
        used_server(*server)
    for entry in getattr(node, "workeroutput", {}).get(_TIMES_KEY, ()):
        kill_time(*entry)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which real servers the tests used, and how soon nothing was left of what they killed."""
    terminalreporter.section("real servers used")
    for name, version, detail in used_servers():
        terminalreporter.line(f"{name} {version}" + (f" ({detail})" if detail else ""))
    if not used_servers():
        terminalreporter.line("none")
    if kill_times():
        terminalreporter.section("seconds from an event until no process and no folder was left")
    for event, pool, seconds in kill_times():
        terminalreporter.line(f"{event:30} {pool:10} {seconds:6.2f}")
