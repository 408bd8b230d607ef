"""The public face of the package: every name is there, and costs nothing before it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import attune_tasks


def test_every_public_name_is_there() -> None:
    assert {"enqueue", "Handle", "ExecutionContext", "ActionFailed"} <= set(dir(attune_tasks))
    for name in attune_tasks.__all__:
        assert getattr(attune_tasks, name)


def test_an_unknown_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'enqeue'"):
        _ = attune_tasks.enqeue


def test_importing_the_package_loads_no_celery() -> None:
    code = (
        "import sys, attune_tasks; print('celery' in sys.modules); attune_tasks.enqueue; print('celery' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
