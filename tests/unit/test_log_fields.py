"""Records of the log say which execution they are about: by attributes, and never by a value."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import attune_tasks
from attune_tasks._celery.local_secrets import LiteralSecrets
from attune_tasks.context import ExecutionRequest
from attune_tasks.executor import ActionExecutor
from attune_tasks.known_packs import load_packs
from attune_tasks.log_fields import LOGGERS, ExecutionFilter, about, logged_as
from attune_tasks.settings import LoadedSettings, Settings
from tests.integration.packs import SECRETS, write_packs

FIELDS = ("execution_id", "action", "task_id")


class Kept(logging.Handler):
    """Keeps records, as a handler of the user's own gets them."""

    def __init__(self) -> None:
        """Keep none yet."""
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        self.records.append(record)


@pytest.fixture
def kept() -> Iterator[Kept]:
    handler, root = Kept(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


def fields(record: logging.LogRecord) -> tuple[Any, ...]:
    return tuple(getattr(record, name, "(none)") for name in FIELDS)


def test_every_logger_of_the_package_is_known() -> None:
    package = Path(attune_tasks.__file__).parent
    text = "".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    assert set(re.findall(r'et_?[lL]ogger\("(attune_tasks[\w.]*)"\)', text)) <= set(LOGGERS)


@pytest.mark.parametrize("name", LOGGERS)
def test_our_loggers_need_no_filter_of_the_users(kept: Kept, name: str) -> None:
    with logged_as(7, "work.add", "the-task"):
        logging.getLogger(name).warning("said")
        logging.getLogger(name).warning("of another", extra=about(8))
    logging.getLogger(name).warning("of none")
    assert [fields(record) for record in kept.records] == [
        ("7", "work.add", "the-task"),
        ("8", "(none)", "(none)"),
        ("(none)", "(none)", "(none)"),
    ]


def test_a_handlers_filter_gives_the_fields_to_records_of_any_logger(kept: Kept) -> None:
    kept.addFilter(ExecutionFilter(missing="-"))
    other = logging.getLogger("some.library")
    with logged_as(7, "work.add", None):
        other.warning("said")
        thread = threading.Thread(target=other.warning, args=("in another thread",))
        thread.start()
        thread.join()
    other.warning("afterwards")
    assert [fields(record) for record in kept.records] == [("7", "work.add", "-"), ("-",) * 3, ("-",) * 3]


def test_a_strangers_action_is_one_short_line(kept: Kept) -> None:
    with logged_as(7, "x\nexecution 8 starts" + "y" * 1000, "t\r"):
        logging.getLogger("attune_tasks.worker").warning("said")
    (record,) = kept.records
    assert fields(record)[1].startswith("x?execution 8 starts")
    assert len(fields(record)[1]) == 200
    assert fields(record)[2] == "t?"


class _Logging(LiteralSecrets):
    """Secrets whose store logs, as a library would."""

    def fetch_secrets_for_action(self, *arguments: Any, **options: Any) -> Any:
        """Log, and give them."""
        logging.getLogger("some.store").info("asked")
        return super().fetch_secrets_for_action(*arguments, **options)


def test_all_that_is_logged_while_an_execution_runs_has_its_fields_and_no_value(kept: Kept, tmp_path: Path) -> None:
    kept.addFilter(ExecutionFilter())
    settings = Settings(packs=(write_packs(tmp_path),))
    executor = ActionExecutor(load_packs(LoadedSettings(settings, {"packs": "argument"})), _Logging(SECRETS), settings)
    try:
        result = executor.execute(ExecutionRequest(7, "work.tell", {"fail": True}, task_id="the-task"))
    finally:
        executor.close()
    assert result.status == "failed"
    during = [record for record in kept.records if record.name != "asyncio"]
    assert {record.name for record in during} >= {"some.store"}
    assert {fields(record) for record in during} == {("7", "work.tell", "the-task")}
    text = json.dumps([{name: repr(value) for name, value in vars(record).items()} for record in during])
    assert not [value for value in SECRETS.values() if value in text]
    with logged_as(7, SECRETS["api_key"], None):  # what would leak is found
        logging.getLogger("some.store").info("asked")
    assert SECRETS["api_key"] in repr(vars(kept.records[-1]))
