"""What is measured: packs whose actions do what scripts do that people start by `subprocess` today."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from attune_tasks.context import ExecutionRequest
from attune_tasks.executor import ActionExecutor, build_executor
from attune_tasks.ids import new_execution_id
from attune_tasks.settings import load_settings
from benchmarks.measuring import Side

__all__ = ["MONTH", "OUTPUT_MB", "SECRETS", "Bench", "prepare"]

SECRETS = {"one": "sk_live_0123456789abcdef", "two": 'a "quoted" \\ value', "three": "line one\nline two"}
MONTH = {"month": "2026-01"}
OUTPUT_MB = 100

# What people write today: the secrets come by the environment, the parameters too, the result is printed as JSON.
_NAIVE_PYTHON = """
import json
import os

parameters = json.loads(os.environ["PARAMETERS"])
secrets = [os.environ["SECRET_ONE"], os.environ["SECRET_TWO"], os.environ["SECRET_THREE"]]
print(json.dumps({"month": parameters["month"], "length": sum(map(len, secrets))}))
"""
_OUR_PYTHON = """
def run(params):
    secrets = [get_secret("one"), get_secret("two"), get_secret("three")]
    return {"month": params["month"], "length": sum(map(len, secrets))}
"""
# Its line is a live write of its own, so that what following costs is in the figure.
_OUR_TELLING_PYTHON = _OUR_PYTHON.replace("    return", '    print("the books of", params["month"])\n    return')
_NAIVE_SHELL = 'one=$SECRET_ONE two=$SECRET_TWO three=$SECRET_THREE\necho "$PARAMETERS ${#one} ${#two} ${#three}"\n'
_OUR_SHELL = (
    "get_secret -v one one; get_secret -v two two; get_secret -v three three\n"
    'echo "$ATTUNE_ACTION_MONTH ${#one} ${#two} ${#three}"\n'
)
# In pieces of 64 KiB, so that the writer's own time, the same for both, does not hide the reader's.
_LOUD = f"import os\npiece = (b'x' * 1023 + b'\\n') * 64\nfor _ in range({OUTPUT_MB} << 4):\n    os.write(1, piece)\n"

_PACKS: dict[str, tuple[dict[str, Any], dict[str, tuple[str, str, dict[str, Any]]]]] = {
    "bench": (
        {},
        {
            "python": ("python", _OUR_PYTHON, {}),
            "telling": ("python", _OUR_TELLING_PYTHON, {}),
            "fresh": ("python", _OUR_PYTHON, {"isolation": "exec"}),
            "shell": ("shell", _OUR_SHELL, {}),
            "plain": ("shell", 'echo "$ATTUNE_ACTION_MONTH"\n', {"secrets": {}}),
            "sleep": ("shell", "sleep 0.2\n", {"secrets": {}}),
            "loud": ("python", _LOUD, {"secrets": {}}),
            "loud_secret": ("python", _LOUD, {}),
        },
    ),
    "loaded": ({"preload": ["requests"]}, {"python": ("python", "import requests\n" + _OUR_PYTHON, {})}),
}
_SCRIPTS = {
    "naive.py": _NAIVE_PYTHON,
    "naive_requests.py": "import requests\n" + _NAIVE_PYTHON,
    "naive.sh": _NAIVE_SHELL,
    "plain.sh": 'echo "$PARAMETERS"\n',
    "loud.py": _LOUD,
}


class Bench:
    """The packs, the naive scripts beside them, and an executor."""

    def __init__(self, folder: Path) -> None:
        """Load the packs that are in `folder`."""
        self.folder = folder
        self.packs = folder / "packs"
        self.secrets_file = folder / "secrets.toml"
        self._loaded = load_settings(
            overrides={"packs": [str(self.packs)], "secrets": {"file": {"path": str(self.secrets_file)}}},
            environ={},
            directory=folder,
        )
        self.renewed_after = self._loaded.settings.launchers.renew_after
        self.executor = self.new_executor()

    def new_executor(self) -> ActionExecutor:
        """Make an executor that has started no launcher yet."""
        return build_executor(self._loaded)

    def execute(self, action: str, executor: ActionExecutor | None = None) -> Any:
        """Run one of our actions; fail where it fails. Give its result."""
        request = ExecutionRequest(new_execution_id(), action, MONTH)
        result = (executor or self.executor).execute(request)
        if not result.succeeded:
            raise RuntimeError(result.error)
        return result.result

    def ours(self, action: str, pause: float = 0.0) -> Side:
        """Give an action by an executor of its own, which is ended with its launchers."""
        executor = self.new_executor()
        return Side(lambda: self.execute(action, executor), executor.close, pause)

    def naive_python(self, script: str = "naive.py") -> Any:
        """Run a Python script as people do today, and give the result that it prints."""
        return json.loads(self._naive(sys.executable, script, SECRETS))

    def naive_shell(self, script: str = "naive.sh") -> str:
        """Run a shell script as people do today, and give what it prints."""
        return self._naive("bash", script, SECRETS if script == "naive.sh" else {})

    def _naive(self, program: str, script: str, secrets: dict[str, str]) -> str:
        variables = {f"SECRET_{name.upper()}": value for name, value in secrets.items()}
        return subprocess.run(
            [program, str(self.folder / script)],
            env={**os.environ, **variables, "PARAMETERS": json.dumps(MONTH)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout


def prepare(folder: Path) -> Bench:
    """Write the packs, their secrets and the naive scripts into `folder`."""
    for pack, (entries, actions) in _PACKS.items():
        place = folder / "packs" / pack / "actions"
        place.mkdir(parents=True)
        (place.parent / "pack.yaml").write_text(json.dumps({"ref": pack, "version": "1.0.0", **entries}))
        for name, (runner, text, more) in actions.items():
            (place / f"{name}.script").write_text(text)
            metadata = {
                "ref": f"{pack}.{name}",
                "runner_type": runner,
                "entry_point": f"{name}.script",
                "parameters": {"month": {"type": "string"}},
                "secrets": {key: f"bench/small#{key}" for key in SECRETS},
                **more,
            }
            (place / f"{name}.yaml").write_text(json.dumps(metadata))
    # The same file for all, as a small one: what the provider takes to read it is in every execution's time.
    secrets_file = folder / "secrets.toml"
    secrets_file.touch(mode=0o600)
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in SECRETS.items())
    secrets_file.write_text(f'["bench/small"]\n{lines}')
    for name, text in _SCRIPTS.items():
        (folder / name).write_text(text)
    return Bench(folder)
