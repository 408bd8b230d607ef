"""What is measured: each case is a pair of calls that do the same, ours and what people write today."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from attune_tasks.context import ExecutionRequest
from attune_tasks.executor import ActionExecutor, build_executor
from attune_tasks.ids import new_execution_id
from attune_tasks.runtimes import ShellRuntime
from attune_tasks.settings import load_settings

__all__ = ["CASES", "Row", "prepare"]

SECRETS = {"one": "sk_live_0123456789abcdef", "two": 'a "quoted" \\ value', "three": "line one\nline two"}
OUTPUT_MB = 100
CAP = 1 << 20

# What people write today: the secrets come by the environment, the parameters too, the result is printed as JSON.
NAIVE_PYTHON = """
import json
import os

parameters = json.loads(os.environ["PARAMETERS"])
secrets = [os.environ["SECRET_ONE"], os.environ["SECRET_TWO"], os.environ["SECRET_THREE"]]
print(json.dumps({"month": parameters["month"], "length": sum(map(len, secrets))}))
"""
OUR_PYTHON = """
def run(params):
    secrets = [get_secret("one"), get_secret("two"), get_secret("three")]
    return {"month": params["month"], "length": sum(map(len, secrets))}
"""
NAIVE_SHELL = 'one=$SECRET_ONE two=$SECRET_TWO three=$SECRET_THREE\necho "$PARAMETERS ${#one} ${#two} ${#three}"\n'
OUR_SHELL = (
    "get_secret -v one one; get_secret -v two two; get_secret -v three three\n"
    'echo "$ATTUNE_ACTION_MONTH ${#one} ${#two} ${#three}"\n'
)
# In pieces of 64 KiB, so that the writer's own time, the same for both, does not hide the reader's.
LOUD = f"import os\npiece = (b'x' * 1023 + b'\\n') * 64\nfor _ in range({OUTPUT_MB} << 4):\n    os.write(1, piece)\n"
BIG = "get_secret -v value big; echo ${#value}"


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    case: str
    against: str
    ratio: float
    goal: float | None
    """None: watched, and never a miss."""

    def as_dict(self) -> dict[str, Any]:
        """Give the entry for results/latest.json."""
        return {
            "case": self.case,
            "against": self.against,
            "ratio": round(self.ratio, 3),
            "goal": self.goal,
            "holds": self.goal is None or self.ratio <= self.goal,
        }


class Bench:
    """An executor with a pack of the cases' actions, and the naive scripts beside it."""

    def __init__(self, folder: Path, executor: ActionExecutor) -> None:
        """Keep where the naive scripts are."""
        self.folder = folder
        self.executor = executor

    def execute(self, action: str, parameters: dict[str, Any] | None = None) -> Any:
        """Run one of our actions; fail where it fails."""
        request = ExecutionRequest(new_execution_id(), f"bench.{action}", parameters or {})
        result = self.executor.execute(request)
        if not result.succeeded:
            raise RuntimeError(result.error)
        return result

    def naive(self, *command: str) -> None:
        """Run a script as people do today."""
        variables = {f"SECRET_{name.upper()}": value for name, value in SECRETS.items()}
        parameters = json.dumps({"month": "2026-01"})
        subprocess.run(
            command,
            env={**os.environ, **variables, "PARAMETERS": parameters},
            capture_output=True,
            text=True,
            check=True,
        )


def prepare(folder: Path) -> Bench:
    """Write the pack, its secrets and the naive scripts into `folder`."""
    actions = folder / "packs" / "bench" / "actions"
    actions.mkdir(parents=True)
    (actions.parent / "pack.yaml").write_text("ref: bench\nversion: 1.0.0\n")
    for name, runner, text in (
        ("python", "python", OUR_PYTHON),
        ("shell", "shell", OUR_SHELL),
        ("loud", "python", LOUD),
    ):
        (actions / f"{name}.script").write_text(text)
        metadata = {
            "ref": f"bench.{name}",
            "runner_type": runner,
            "entry_point": f"{name}.script",
            "parameters": {"month": {"type": "string"}},
            "secrets": {} if name == "loud" else {key: f"bench/small#{key}" for key in SECRETS},
        }
        (actions / f"{name}.yaml").write_text(json.dumps(metadata))
    # The same file for all, as a small one: what the provider takes to read it is in every execution's time.
    secrets_file = folder / "secrets.toml"
    secrets_file.touch(mode=0o600)
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in SECRETS.items())
    secrets_file.write_text(f'["bench/small"]\n{lines}')
    for name, text in (("naive.py", NAIVE_PYTHON), ("naive.sh", NAIVE_SHELL), ("loud.py", LOUD)):
        (folder / name).write_text(text)
    loaded = load_settings(
        overrides={"packs": [str(folder / "packs")], "secrets": {"file": {"path": str(secrets_file)}}},
        environ={},
        directory=folder,
    )
    return Bench(folder, build_executor(loaded))


def interleaved(ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int) -> float:
    """Give the ratio of the medians of two calls, taken in turn."""
    taken: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for call, times in zip((ours, theirs), taken, strict=True):
            started = time.perf_counter()
            call()
            if number:  # the first round warms up
                times.append(time.perf_counter() - started)
    return median(taken[0]) / median(taken[1])


def python_action(bench: Bench) -> Row:
    """Measure a Python action against the naive child."""
    ratio = interleaved(
        lambda: bench.execute("python", {"month": "2026-01"}),
        lambda: bench.naive(sys.executable, str(bench.folder / "naive.py")),
        40,
    )
    return Row("python action, three secrets", "subprocess.run([sys.executable, script])", ratio, 0.70)


def shell_action(bench: Bench) -> Row:
    """Measure a shell action against the naive child."""
    ratio = interleaved(
        lambda: bench.execute("shell", {"month": "2026-01"}),
        lambda: bench.naive("bash", str(bench.folder / "naive.sh")),
        400,
    )
    return Row("shell action, three secrets", 'subprocess.run(["bash", script])', ratio, 1.50)


def loud_action(bench: Bench) -> Row:
    """Measure much output against communicate()."""

    def communicate() -> None:
        command = [sys.executable, str(bench.folder / "loud.py")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            output, _ = child.communicate()
        if len(output) < OUTPUT_MB << 20:
            msg = "communicate() lost output"
            raise RuntimeError(msg)

    ratio = interleaved(lambda: bench.execute("loud"), communicate, 5)
    return Row(f"{OUTPUT_MB} MB of output, 1 MiB kept: time", "Popen.communicate()", ratio, 0.50)


def loud_memory(bench: Bench) -> Row:
    """Measure the growth of this process's peak, in a process of its own, against the cap and 2 MiB."""
    bench.execute("python", {"month": "2026-01"})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    bench.execute("loud")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    return Row(f"{OUTPUT_MB} MB of output, 1 MiB kept: memory", "cap + 2 MiB", grown / (CAP + (2 << 20)), 1.0)


def big_line(bench: Bench) -> Row:  # noqa: ARG001 - the shape of a case
    """Measure the seconds for a whole shell action with a secret of 1 MiB, against half a second."""
    value = ('0123456789abcdef "\\\\\\n' * CAP)[:CAP]
    taken = []
    for _ in range(7):
        started = time.perf_counter()
        result = ShellRuntime().execute_shell_code(BIG, {"big": value})
        taken.append(time.perf_counter() - started)
        if result.stdout != f"{CAP}\n":
            raise RuntimeError(result.stderr)
    return Row("shell action, a secret of 1 MiB", "0.5 s", median(taken) / 0.5, 1.0)


def vault_read(bench: Bench) -> Row:  # noqa: ARG001 - the shape of a case
    """Measure a read by the provider's kept client against the same by a raw kept connection."""
    from benchmarks.vault_case import kept_read_and_raw_request

    with kept_read_and_raw_request() as (ours, theirs):
        ratio = interleaved(ours, theirs, 300)
    return Row("Vault: a kept hvac read", "a raw keep-alive request (http.client)", ratio, 3.5)


def end_to_end(bench: Bench) -> Row:
    """Measure enqueue to result of a shell action through Redis and a prefork worker, against a task of one's own."""
    from benchmarks.redis_case import action_and_naive_task

    places = (bench.folder / "packs", bench.folder / "secrets.toml", bench.folder / "naive.sh")
    with action_and_naive_task(*places, json.dumps(SECRETS)) as (ours, theirs):
        ratio = interleaved(ours, theirs, 300)
    return Row("shell action end to end by Celery, Redis", 'a Celery task: subprocess.run(["bash", …])', ratio, None)


CASES: dict[str, Callable[[Bench], Row]] = {
    "python": python_action,
    "shell": shell_action,
    "loud": loud_action,
    "memory": loud_memory,
    "big": big_line,
    "vault": vault_read,
    "redis": end_to_end,
}
