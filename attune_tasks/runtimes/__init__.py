"""Runtimes: the plugins which know how to run one language."""

from attune_tasks.runtimes.base import Runtime, run
from attune_tasks.runtimes.executable import ExecutableRuntime
from attune_tasks.runtimes.python import PythonRuntime
from attune_tasks.runtimes.registry import get_runtime, runtime_names, runtime_problems
from attune_tasks.runtimes.shell import ShellRuntime

__all__ = [
    "ExecutableRuntime",
    "PythonRuntime",
    "Runtime",
    "ShellRuntime",
    "get_runtime",
    "run",
    "runtime_names",
    "runtime_problems",
]
